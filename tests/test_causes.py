"""What an error says of why a cell failed, and so whether it is tried again, alone."""

import pytest
import torch

from orchestrator.verdict import may_try_again
from orchestrator.worker import cause_of
from trainers.errors import UserError
from trainers.health import CollapsedError


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."), "memory"),
        (MemoryError(), "memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory"),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), "error"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "error"),
        (ValueError("out of memory is a word"), "error"),
        (UserError("no such file"), "user"),
        (CollapsedError("it has"), "collapsed"),
        (FloatingPointError("the loss is nan at step 3"), "nan"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_errors_cause_is_told_by_its_class_or_by_what_cuda_says(error: BaseException, cause: str) -> None:
    assert cause_of(error) == cause
    assert may_try_again(cause_of(error), 1) == (cause == "memory")
