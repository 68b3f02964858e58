from .figures import Figures as Figures
from .metrics import psnr as psnr
from .metrics import ssim as ssim
from .pictures import curves as curves
from .pictures import panel as panel
from .pictures import residual_picture as residual_picture
from .scoring import Evaluation as Evaluation
from .scoring import evaluate as evaluate
