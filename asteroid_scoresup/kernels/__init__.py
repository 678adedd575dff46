"""Operations written by hand for speed, each beside the plain version that it must equal.

Nothing outside this package has an autograd function of its own or arranges memory for the cache
of a processor. Tests compare every kernel with its plain version, in values and gradients.
"""
