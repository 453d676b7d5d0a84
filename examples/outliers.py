"""Digits that a variational autoencoder has not seen: the bound as a score of novelty.

An autoencoder (8 x 8 pixels in black and white, 8 numbers as code) is trained on scikit-learn's
digits without one of them. The bound of log p(x) of held-out images then tells the digit that was
left out from those that were there: AUROC by the bound, and by the reconstruction alone. Trained
are the evidence lower bound, and with a learnt prior (a flow) the importance-weighted one.

Found: with the learnt prior and the importance-weighted bound (both change together) the bound
rises by 1 to 2 nats per image and tells strangers better (AUROC 0.96, 0.72 and 0.85 for 0, 1 and 8,
against 0.90, 0.67 and 0.73). The reconstruction alone
does as well as the bound with a normal prior, and no better with the learnt one. A digit as plain
as 1 stays hard. One seed for each digit.

    python examples/outliers.py           # about two minutes on one core
    python examples/outliers.py --quick
"""

import argparse
from collections.abc import Sequence

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor

import hybrid

LATENT = 8


def images() -> tuple[Tensor, Tensor]:
    """Pixels (1797, 64), black and white, and digits."""
    data = load_digits()
    return (torch.tensor(data.data) > 7).float(), torch.tensor(data.target)


def autoencoder(*, learnt_prior: bool) -> hybrid.VAE:
    """Encoder and decoder with one hidden layer each."""
    prior = None
    if learnt_prior:
        prior = hybrid.flows.NeuralSpline(None, event=LATENT, transforms=2, hidden=[32])
    return hybrid.VAE(
        hybrid.backbones.MLP(64, [128], 64),
        hybrid.heads.Bernoulli(hybrid.backbones.MLP(LATENT, [128], 64), event=64),
        latent=LATENT,
        prior=prior,
    )


def scores(vae: hybrid.VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """How new each image is: by the bound, and by its reconstruction."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        bound = vae.log_probability(x, samples=100, generator=generator)
        return -bound, -vae.reconstruct(x).log_prob(x)


def run(left_out: int, epochs: int, *, learnt_prior: bool) -> Sequence[float]:
    """Bound per image of held-out images, and the two AUROCs."""
    torch.manual_seed(left_out)
    x, digits = images()
    known = x[digits != left_out]
    known = known[torch.randperm(len(known))]
    train, test, new = known[:-400], known[-400:], x[digits == left_out]
    vae = autoencoder(learnt_prior=learnt_prior)
    objective = vae.objective(samples=4 if learnt_prior else 1, importance=learnt_prior)
    hybrid.fit(
        objective,
        train,
        optimizer=lambda parameters: torch.optim.Adam(parameters, 2e-3),
        epochs=epochs,
        batch_size=64,
        seed=left_out,
        progress=False,
    )
    vae.eval()
    seen, unseen = scores(vae, test), scores(vae, new)
    truth = [0] * len(test) + [1] * len(new)
    areas = [
        roc_auc_score(truth, torch.cat(pair).numpy()) for pair in zip(seen, unseen, strict=True)
    ]
    return [-float(seen[0].mean()), *areas]


def main() -> None:
    """Print a row for each digit that is left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one digit, few epochs")
    quick = parser.parse_args().quick
    print("| left out | model | bound, nats per image | AUROC, bound | AUROC, reconstruction |")
    print("| --- | --- | --- | --- | --- |")
    for left_out in [1] if quick else [0, 1, 8]:
        for learnt in (False, True):
            bound, *areas = run(left_out, 10 if quick else 60, learnt_prior=learnt)
            name = "flow prior, K = 4" if learnt else "normal prior, K = 1"
            print(f"| {left_out} | {name} | {bound:.2f} | {areas[0]:.3f} | {areas[1]:.3f} |")


if __name__ == "__main__":
    main()
