"""One `nn.Module` a file, thin over the mathematics: what torch lacks or does too slowly."""
