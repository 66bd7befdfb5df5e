"""IR of what CPython calls: a built-in function that takes a tuple of values, and the method `__call__`."""

from __future__ import annotations

TEXT = """
@names = global [2 x ptr] zeroinitializer, align 8 ; of attributes: the description's address, the call in Python
@nothing = internal global ptr null, align 8

define ptr @enter(ptr %self, ptr %args, i64 %nargs) {
; A built-in function (tuple of values, out), METH_FASTCALL; `self` is a tuple that begins with the description.
entry:
  %values = alloca [{MOST} x ptr], align 8
  %number = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %description = call ptr @PyLong_AsVoidPtr(ptr %number)
  %two = icmp eq i64 %nargs, 2
  require %two, label %refuse
  %given = load ptr, ptr %args, align 8
  %out_place = getelementptr ptr, ptr %args, i64 1
  %out = load ptr, ptr %out_place, align 8
  %tuple = call i64 @word(ptr %description, i64 13)
  %type = call i64 @type_of(ptr %given)
  %is_tuple = icmp eq i64 %type, %tuple
  require %is_tuple, label %refuse
  %inputs = call i64 @word(ptr %description, i64 8)
  %count = call i64 @PyTuple_Size(ptr %given)
  %all = icmp eq i64 %count, %inputs
  require %all, label %refuse
  for %k below %inputs {
    %value = call ptr @PyTuple_GetItem(ptr %given, i64 %k)
    %slot = getelementptr ptr, ptr %values, i64 %k
    store ptr %value, ptr %slot, align 8
  }
  %result = call ptr @launch(ptr %description, ptr %values, ptr %out)
  ret ptr %result
refuse:
  %unusual = call ptr @pointer(ptr %description, i64 15)
  call void @Py_IncRef(ptr %unusual)
  ret ptr %unusual
}

define internal ptr @slot_of(ptr %description, ptr %values, ptr %name) {
; Where the value of the input of this name goes; null where there is no such input.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  for %k below %inputs {
    %record = call ptr @record(ptr %description, i64 %k)
    %own_name = call ptr @pointer(ptr %record, i64 6)
    %other = icmp ne ptr %own_name, %name ; both are interned; another string is refused
    require %other, label %found
  }
  ret ptr null
found:
  %slot = getelementptr ptr, ptr %values, i64 %k
  ret ptr %slot
}

define internal i1 @bind(ptr %description, ptr %args, i64 %nargs, ptr %names, ptr %values, ptr %out) {
; Puts arguments in the order of the inputs, and `out` in its place; false where they are not exactly these.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %name_out = call ptr @pointer(ptr %description, i64 17)
  %none = call ptr @pointer(ptr %description, i64 14)
  store ptr %none, ptr %out, align 8
  %enough = icmp sle i64 %nargs, %inputs
  require %enough, label %no
  for %k below %inputs {
    %argument = getelementptr ptr, ptr %args, i64 %k
    %present = icmp slt i64 %k, %nargs
    %source = select i1 %present, ptr %argument, ptr @nothing
    %object = load ptr, ptr %source, align 8
    %place = getelementptr ptr, ptr %values, i64 %k
    store ptr %object, ptr %place, align 8
  }
  %no_names = icmp eq ptr %names, null
  br i1 %no_names, label %complete, label %named
named:
  %names_count = call i64 @PyTuple_Size(ptr %names)
  for %n below %names_count {
    %name = call ptr @PyTuple_GetItem(ptr %names, i64 %n)
    %value_at = add i64 %nargs, %n
    %value_place = getelementptr ptr, ptr %args, i64 %value_at
    %value = load ptr, ptr %value_place, align 8
    %is_out = icmp eq ptr %name, %name_out
    br i1 %is_out, label %store_out, label %search
store_out:
    store ptr %value, ptr %out, align 8
    br label %n.next
search:
    %slot = call ptr @slot_of(ptr %description, ptr %values, ptr %name)
    %known = icmp ne ptr %slot, null
    require %known, label %no
    %before = load ptr, ptr %slot, align 8
    %unset = icmp eq ptr %before, null
    require %unset, label %no
    store ptr %value, ptr %slot, align 8
  }
  br label %complete
complete:
  for %c below %inputs {
    %bound_place = getelementptr ptr, ptr %values, i64 %c
    %bound = load ptr, ptr %bound_place, align 8
    %given = icmp ne ptr %bound, null
    require %given, label %no
  }
  ret i1 true
no:
  ret i1 false
}

define ptr @call(ptr %self, ptr %args, i64 %nargs, ptr %kwnames) {
; The method `__call__` of executables, METH_FASTCALL | METH_KEYWORDS.
entry:
  %values = alloca [{MOST} x ptr], align 8
  %out_place = alloca ptr, align 8
  %name = load ptr, ptr @names, align 8
  %number = call ptr @PyObject_GetAttr(ptr %self, ptr %name)
  %found = icmp ne ptr %number, null
  require %found, label %error
  %description = call ptr @PyLong_AsVoidPtr(ptr %number)
  call void @Py_DecRef(ptr %number)
  %bound = call i1 @bind(ptr %description, ptr %args, i64 %nargs, ptr %kwnames, ptr %values, ptr %out_place)
  require %bound, label %python
  %out = load ptr, ptr %out_place, align 8
  %result = call ptr @launch(ptr %description, ptr %values, ptr %out)
  %unusual = call ptr @pointer(ptr %description, i64 15)
  %refused = icmp eq ptr %result, %unusual
  br i1 %refused, label %forget, label %done
done:
  ret ptr %result
forget:
  call void @Py_DecRef(ptr %result)
  br label %python
python:
  %slow_place = getelementptr ptr, ptr @names, i64 1
  %slow_name = load ptr, ptr %slow_place, align 8
  %slow = call ptr @PyObject_GetAttr(ptr %self, ptr %slow_name)
  %there = icmp ne ptr %slow, null
  require %there, label %error
  %answer = call ptr @PyObject_Vectorcall(ptr %slow, ptr %args, i64 %nargs, ptr %kwnames)
  call void @Py_DecRef(ptr %slow)
  ret ptr %answer
error:
  ret ptr null
}
"""
