"""OpenVINO: graphs of one operation, the second operand a constant; images are transposed inside of its graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

_core = openvino.Core()
_hints = {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def start(threads: int) -> None:
    _hints["INFERENCE_NUM_THREADS"] = threads


def _compiled(result: Any, parameter: Any, x: Any, constant: Any) -> Callable[[], Any]:
    request = _core.compile_model(openvino.Model([result], [parameter]), "CPU", _hints).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    kept = x, constant  # the request refers to their memory only

    def run() -> Any:
        assert kept
        request.infer()
        return request

    return run


def product(a: Any, b: Any) -> Callable[[], Any]:
    x = ops.parameter(a.shape, openvino.Type.f32)
    return _compiled(ops.matmul(x, ops.constant(b), False, False), x, a, b)


def convolution(x: Any, w: Any, stride: int, groups: int) -> Callable[[], Any]:
    parameter = ops.parameter(x.shape, openvino.Type.f32)
    image = ops.transpose(parameter, ops.constant(np.array([0, 3, 1, 2])))
    kernel = np.ascontiguousarray(w.transpose(3, 2, 0, 1))
    how = ([stride] * 2, [w.shape[0] // 2] * 2, [w.shape[0] // 2] * 2, [1, 1])
    if groups > 1:
        y = ops.group_convolution(image, ops.constant(kernel[:, None]), *how)
    else:
        y = ops.convolution(image, ops.constant(kernel), *how)
    return _compiled(ops.transpose(y, ops.constant(np.array([0, 2, 3, 1]))), parameter, x, kernel)


def array(result: Any) -> Any:
    return result.get_output_tensor().data.copy()
