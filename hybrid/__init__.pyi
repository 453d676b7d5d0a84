from hybrid import backbones as backbones
from hybrid import bayes as bayes
from hybrid import conformal as conformal
from hybrid import flows as flows
from hybrid import heads as heads
from hybrid import layers as layers
from hybrid import losses as losses
from hybrid import objectives as objectives
from hybrid import pgm as pgm
from hybrid import plots as plots
from hybrid import testing as testing
from hybrid import uncertainty as uncertainty
from hybrid.archive import CheckpointError as CheckpointError
from hybrid.averaging import Average as Average
from hybrid.callbacks import Callback as Callback
from hybrid.callbacks import EarlyStopping as EarlyStopping
from hybrid.callbacks import Schedule as Schedule
from hybrid.checkpoint import load as load
from hybrid.checkpoint import save as save
from hybrid.gradients import Clip as Clip
from hybrid.guard import NonFiniteError as NonFiniteError
from hybrid.history import History as History
from hybrid.inventory import summary as summary
from hybrid.logs import CSVWriter as CSVWriter
from hybrid.logs import Log as Log
from hybrid.logs import TensorBoardWriter as TensorBoardWriter
from hybrid.prediction import Prediction as Prediction
from hybrid.prediction import predict as predict
from hybrid.runtime import Checkpoints as Checkpoints
from hybrid.runtime import Runtime as Runtime
from hybrid.schedules import warm_up as warm_up
from hybrid.trainer import fit as fit

__all__ = [
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
    "pgm",
    "plots",
    "predict",
    "save",
    "summary",
    "testing",
    "uncertainty",
    "warm_up",
]
