"""Operations written for speed, each next to the plain version that it must equal.

Only this package defines its own autograd functions or arranges work for the cache of a processor.
Tests compare every kernel with its plain version, in values and gradients.

=========================================  ===================================================
Kernel                                     Plain version
=========================================  ===================================================
:func:`.depthwise.depthwise_conv`          :func:`torch.nn.functional.conv1d` with one group
                                           per channel
:class:`.mask_kl.MaskKL`                   :func:`.mask_kl.plain_mask_kl`
:func:`.prelu.prelu`                       :func:`torch.nn.functional.prelu`
:func:`.shifted_linear.shifted_linear`     :func:`.shifted_linear.plain_shifted_linear`
:func:`.stft.stft`, :func:`.stft.istft`    :func:`torch.stft`, :func:`torch.istft`
=========================================  ===================================================
"""
