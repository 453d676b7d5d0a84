"""Trainings that are killed and resumed, in processes of their own.

``python tests/support/killed_runs.py 20`` trains a model with a circuit, a posterior and a flow
once without interruption, then kills it at 20 random moments, four of them while a checkpoint is
written, resumes each, and compares weights and history bit by bit.
"""

import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import pennylane as qml
import torch

from hybrid.backbones import MLP
from hybrid.bayes import variational
from hybrid.flows import NeuralSpline
from hybrid.objectives import ELBO
from hybrid.storage import archive
from hybrid.training.callbacks import EarlyStopping, Schedule
from hybrid.training.runtime import Checkpoints, Runtime
from hybrid.training.trainer import fit
from quantum.layer import CircuitLayer

ROWS, EPOCHS, BATCH = 48, 4, 8


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]


def model():
    """A flow whose context is a backbone with weights that are a posterior, then a circuit."""
    torch.manual_seed(3)
    body = torch.nn.Sequential(
        MLP(3, [4], 2, activation=torch.nn.Tanh()), CircuitLayer(circuit, {"weights": (1, 2, 3)})
    )
    return ELBO(variational(NeuralSpline(body, features=2, event=2)), data_size=ROWS)


def data():
    x = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))
    return x, torch.stack((x.sum(-1), x[:, 0] * x[:, 1]), dim=-1)


def train(folder=None, resume=False, callbacks=()):
    """The digest of weights and history of one training."""
    objective = model()
    x, y = data()
    keep = None if folder is None else Checkpoints(folder, steps=2)
    cosine = Schedule(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50), every="step"
    )
    history = fit(
        objective, (x, y), optimizer=lambda p: torch.optim.Adam(p, 0.02), epochs=EPOCHS,
        batch_size=BATCH, validation=(x[:9], y[:9]), seed=1, progress=False,
        callbacks=[EarlyStopping(2), cosine, *callbacks],
        runtime=Runtime(checkpoint=keep, resume=resume),
    )  # fmt: skip
    digest = hashlib.sha256()
    for name, tensor in objective.state_dict().items():
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    digest.update(repr((history.loss, history.parts, history.validation)).encode())
    return digest.hexdigest()


class Slow:
    """Makes every step last, so that a kill hits the training and not its end."""

    def on_step_end(self, state):
        time.sleep(0.002)

    def on_epoch_end(self, state):
        return None


def apart(action):
    """Run ``action`` in a forked process; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        action()
        os._exit(0)
    except BaseException as error:  # told by the exit status
        print(repr(error), file=sys.stderr)
        os._exit(1)


def killed_at(folder, seconds):
    """Train, and kill after this time; whether it was still running."""
    child = apart(lambda: train(folder, resume=True, callbacks=[Slow()]))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def killed_writing(folder, count, before):
    """Train, and die at the count-th file that a checkpoint writes, before or after its rename."""
    whole, calls = archive._replace, []

    def deadly(target, content):
        calls.append(target)
        if len(calls) == count:
            if before:
                (target.parent / ".writing-half").write_bytes(content[: len(content) // 2])
            else:
                whole(target, content)
            os.kill(os.getpid(), signal.SIGKILL)
        whole(target, content)

    def action():
        archive._replace = deadly
        train(folder, resume=True)

    return os.WIFSIGNALED(os.waitpid(apart(action), 0)[1])


def resumed(folder):
    """The digest after resuming in another process."""
    out = Path(folder) / "digest"
    status = os.waitpid(apart(lambda: out.write_text(train(folder, resume=True))), 0)[1]
    return out.read_text() if status == 0 else f"status {status}"


def main(kills):
    start = time.perf_counter()
    whole = train()
    seconds = time.perf_counter() - start + ROWS // BATCH * EPOCHS * 0.002
    chance = random.Random(kills)
    writing = max(2, kills // 5)
    good = 0
    for index in range(kills):
        with tempfile.TemporaryDirectory() as folder:
            if index < writing:
                count = chance.randrange(1, 40)
                what, hit = f"file {count}", killed_writing(folder, count, index % 2 == 0)
            else:
                moment = chance.uniform(0.1, 1.2) * seconds
                what, hit = f"{moment:.2f} s", killed_at(folder, moment)
            same = resumed(folder) == whole
            good += same
            found = len(list(Path(folder).glob("step-*")))
            print(f"kill {index + 1}: {what}, hit {hit}, {found} checkpoints, identical {same}")
    print(f"{good} of {kills} identical to the bit")
    return 0 if good == kills else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(int(sys.argv[1])))
