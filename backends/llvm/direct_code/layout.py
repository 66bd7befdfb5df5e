"""Where direct calls find things: offsets in Python's objects, and words of a program's description."""

from __future__ import annotations

HEADER, RECORD = 18, 7  # words
MOST = 64  # inputs and results together
KEPT = 4  # arenas

# offsets of fields: in an object, in an array, and in a dtype
TYPE, DATA, RANK, SHAPE, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
BYTE_ORDER, NUMBER = 26, 28

# what the text writes in braces
WORDS = {
    "HEADER": HEADER,
    "RECORD": RECORD,
    "MOST": MOST,
    "KEPT": KEPT,
    "RANK": RANK,
    "SHAPE": SHAPE,
    "DTYPE": DTYPE,
    "FLAGS": FLAGS,
    "BYTE_ORDER": BYTE_ORDER,
    "NUMBER": NUMBER,
}

# functions of CPython
IMPORTS = {
    "PyErr_Clear": "void ()",
    "PyErr_ExceptionMatches": "i32 (ptr)",
    "PyErr_Occurred": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "PyEval_SaveThread": "ptr ()",
    "PyFloat_AsDouble": "double (ptr)",
    "PyList_Append": "i32 (ptr, ptr)",
    "PyList_GetItem": "ptr (ptr, i64)",
    "PyList_SetSlice": "i32 (ptr, i64, i64, ptr)",
    "PyList_Size": "i64 (ptr)",
    "PyLong_AsLongLongAndOverflow": "i64 (ptr, ptr)",
    "PyLong_AsVoidPtr": "ptr (ptr)",
    "PyObject_CallNoArgs": "ptr (ptr)",
    "PyObject_GetAttr": "ptr (ptr, ptr)",
    "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)",
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "PyTuple_New": "ptr (i64)",
    "PyTuple_SetItem": "i32 (ptr, i64, ptr)",
    "PyTuple_Size": "i64 (ptr)",
    "Py_DecRef": "void (ptr)",
    "Py_IncRef": "void (ptr)",
}
