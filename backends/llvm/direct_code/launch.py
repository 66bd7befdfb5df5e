"""IR that runs a program for values that have been put in order."""

from __future__ import annotations

TEXT = """
define internal void @run(ptr %description, ptr %table, ptr %arena, ptr %pool) {
entry:
  %run = call ptr @pointer(ptr %description, i64 0)
  %fixed = call ptr @pointer(ptr %description, i64 1)
  %mode = call i64 @word(ptr %description, i64 2)
  switch i64 %mode, label %hold [
    i64 1, label %release
    i64 2, label %interruptible
  ]
hold:
  call void %run(ptr %table, ptr %arena, ptr %fixed, ptr %pool)
  ret void
release:
  %state = call ptr @PyEval_SaveThread()
  call void %run(ptr %table, ptr %arena, ptr %fixed, ptr %pool)
  call void @PyEval_RestoreThread(ptr %state)
  ret void
interruptible:
  %program = call ptr @pointer(ptr %description, i64 3)
  %call = call ptr @pointer(ptr %description, i64 4)
  call void %call(ptr %program, ptr %table, ptr %arena, ptr %fixed, ptr %pool)
  ret void
}

define internal i64 @run_in(ptr %description, ptr %frame, ptr %addresses, ptr %pool) {
; Runs the program in an arena; the number of the Check that failed, or 0.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %results = call i64 @word(ptr %description, i64 9)
  %count = add i64 %inputs, %results
  %table_number = call ptr @PyTuple_GetItem(ptr %frame, i64 0)
  %table = call ptr @PyLong_AsVoidPtr(ptr %table_number)
  %arena_number = call ptr @PyTuple_GetItem(ptr %frame, i64 1)
  %arena = call ptr @PyLong_AsVoidPtr(ptr %arena_number)
  for %k below %count {
    %record = call ptr @record(ptr %description, i64 %k)
    %place = call i64 @word(ptr %record, i64 4)
    %slot = getelementptr i64, ptr %table, i64 %place
    %address = call i64 @word(ptr %addresses, i64 %k)
    store i64 %address, ptr %slot, align 8
  }
  call void @run(ptr %description, ptr %table, ptr %arena, ptr %pool)
  %status = call i64 @word(ptr %description, i64 7)
  %checked = icmp sge i64 %status, 0
  require %checked, label %well
  %status_place = getelementptr i8, ptr %arena, i64 %status
  %failed = load i64, ptr %status_place, align 8
  ret i64 %failed
well:
  ret i64 0
}

define internal ptr @launch(ptr %description, ptr %values, ptr %out) {
; The program's result for these values: an array, or a tuple; NotImplemented where anything is unusual.
entry:
  %addresses = alloca [{MOST} x i64], align 8
  %numbers = alloca [{MOST} x i64], align 8
  %held = alloca [{MOST} x ptr], align 8
  %count = alloca i64, align 8
  store i64 0, ptr %count, align 8
  %pool_place = call ptr @pointer(ptr %description, i64 5)
  %no_pool = icmp eq ptr %pool_place, null
  br i1 %no_pool, label %inputs, label %look_for_pool
look_for_pool:
  %pool_found = load ptr, ptr %pool_place, align 8
  %gone = icmp eq ptr %pool_found, null ; not started yet, or lost by a fork
  br i1 %gone, label %refuse, label %inputs
inputs:
  %pool = phi ptr [ null, %entry ], [ %pool_found, %look_for_pool ]
  %inputs_taken = call i1 @take_inputs(ptr %description, ptr %values, ptr %addresses, ptr %numbers)
  require %inputs_taken, label %refuse
  %taken = call i32 @take_results(ptr %description, ptr %out, ptr %addresses, ptr %held, ptr %count)
  switch i32 %taken, label %error [
    i32 0, label %arena
    i32 1, label %refuse
  ]
arena:
  %arenas = call ptr @pointer(ptr %description, i64 6)
  %free = call i64 @PyList_Size(ptr %arenas)
  %some = icmp sgt i64 %free, 0
  require %some, label %refuse
  %last = sub i64 %free, 1
  %frame = call ptr @PyList_GetItem(ptr %arenas, i64 %last)
  call void @Py_IncRef(ptr %frame)
  %removed = call i32 @PyList_SetSlice(ptr %arenas, i64 %last, i64 %free, ptr null)
  %status = call i64 @run_in(ptr %description, ptr %frame, ptr %addresses, ptr %pool)
  %raised = call ptr @PyErr_Occurred()
  %present = call i64 @PyList_Size(ptr %arenas)
  %room = icmp slt i64 %present, {KEPT}
  br i1 %room, label %give, label %given
give:
  %appended = call i32 @PyList_Append(ptr %arenas, ptr %frame)
  br label %given
given:
  call void @Py_DecRef(ptr %frame)
  %ended = icmp eq ptr %raised, null
  require %ended, label %error
  %well = icmp eq i64 %status, 0
  require %well, label %refuse ; the same call in Python says why
  %final = load i64, ptr %count, align 8
  %result = call ptr @returned(ptr %held, i64 %final)
  ret ptr %result
refuse:
  %refused = load i64, ptr %count, align 8
  call void @drop(ptr %held, i64 %refused)
  %unusual = call ptr @pointer(ptr %description, i64 15)
  call void @Py_IncRef(ptr %unusual)
  ret ptr %unusual
error:
  %lost = load i64, ptr %count, align 8
  call void @drop(ptr %held, i64 %lost)
  ret ptr null
}
"""
