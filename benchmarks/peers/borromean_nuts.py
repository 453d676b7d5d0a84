"""Ours: `hybrid.bayes.sample` with one chain of NUTS."""

import torch
from peers.borromean_chees import nuts
from peers.sampled import serve

if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(nuts, ("borromean", "torch", "pyro-ppl"))
