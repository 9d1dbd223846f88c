"""Matrices this small are slower on two threads than on one, and much slower where others use the machine too."""

import torch

torch.set_num_threads(1)
