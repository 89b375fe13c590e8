"""The calculus as fused programs in C++: kernels that torch runs slowly, and whole steps of small networks.

The library is optional.  It is built at install where there is a compiler, once for each instruction set, and the best
that the processor has is taken when it is first needed (`library.py`); without it everything runs on torch.
"""
