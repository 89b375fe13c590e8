"""Every operation of a convolutional network as a formula in plain tensors, forward and backward."""
