from hybrid import backbones as backbones
from hybrid import bayes as bayes
from hybrid import conformal as conformal
from hybrid import flows as flows
from hybrid import heads as heads
from hybrid import layers as layers
from hybrid import losses as losses
from hybrid import objectives as objectives
from hybrid import optim as optim
from hybrid import pgm as pgm
from hybrid import plots as plots
from hybrid import testing as testing
from hybrid import uncertainty as uncertainty
from hybrid.inventory import summary as summary
from hybrid.prediction import Prediction as Prediction
from hybrid.prediction import predict as predict
from hybrid.storage.archive import CheckpointError as CheckpointError
from hybrid.storage.checkpoint import load as load
from hybrid.storage.checkpoint import save as save
from hybrid.training.averaging import Average as Average
from hybrid.training.callbacks import Callback as Callback
from hybrid.training.callbacks import EarlyStopping as EarlyStopping
from hybrid.training.callbacks import Schedule as Schedule
from hybrid.training.gradients import Clip as Clip
from hybrid.training.guard import NonFiniteError as NonFiniteError
from hybrid.training.history import History as History
from hybrid.training.logs import CSVWriter as CSVWriter
from hybrid.training.logs import Log as Log
from hybrid.training.logs import TensorBoardWriter as TensorBoardWriter
from hybrid.training.runtime import Checkpoints as Checkpoints
from hybrid.training.runtime import Runtime as Runtime
from hybrid.training.schedules import warm_up as warm_up
from hybrid.training.trainer import fit as fit
from hybrid.vae.autoencoder import VAE as VAE

__all__ = [
    "VAE",
    "Average",
    "CSVWriter",
    "Callback",
    "CheckpointError",
    "Checkpoints",
    "Clip",
    "EarlyStopping",
    "History",
    "Log",
    "NonFiniteError",
    "Prediction",
    "Runtime",
    "Schedule",
    "TensorBoardWriter",
    "backbones",
    "bayes",
    "conformal",
    "fit",
    "flows",
    "heads",
    "layers",
    "load",
    "losses",
    "objectives",
    "optim",
    "pgm",
    "plots",
    "predict",
    "save",
    "summary",
    "testing",
    "uncertainty",
    "warm_up",
]
