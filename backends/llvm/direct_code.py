"""IR of direct calls: from Python objects to a program's machine code and back, without Python code in between.

It is written against CPython's stable functions, apart from what it reads of objects: their type, and the fields of
arrays, whose places every extension module that was ever compiled against NumPy relies on (`tilec.backends.llvm.direct`
looks whether they are there). Whatever is not exactly what the program takes is refused: NotImplemented comes back, and
the caller does it all again in Python, which also says what is wrong.

A description of a program, in 8-byte words:
    0 run, 1 fixed      the program's function and the memory that it keeps
    2 mode              0: the interpreter's lock is held; 1: it is released; 2: `call` of the interrupts does that
    3 program, 4 call   for mode 2
    5 pool              where the address of the pool is; 0: there is none to pass
    6 arenas            a list of tuples (address of a table, address of an arena, ...), taken from and given back to
    7 status            where in the arena the number of a failed Check is; -1: there is no Check
    8 inputs, 9 results how many there are
    10 ndarray, float, int, tuple       types
    14 None, NotImplemented, MemoryError, the name `out`
    18 records of 7 words, of inputs and then of results: dtype, rank, shape, bytes, place in the table; of an input the
       kind of numbers that stand for it (0: none, float32, float64, int32, int64) and its name; of a result what makes
       a fresh array
"""

from __future__ import annotations

HEADER, RECORD = 18, 7  # words
MOST = 64  # inputs and results together
KEPT = 4  # arenas

# offsets of fields: in an object, in an array, and in a dtype
TYPE, DATA, RANK, SHAPE, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
BYTE_ORDER, NUMBER = 26, 28

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

_IR = """
@names = global [2 x ptr] zeroinitializer, align 8 ; of attributes: the description's address, the call in Python

define internal ptr @record(ptr %description, i64 %k) {
  %words = mul i64 %k, {RECORD}
  %at = add i64 %words, {HEADER}
  %place = getelementptr i64, ptr %description, i64 %at
  ret ptr %place
}

define internal i1 @same_dtype(i64 %a, i64 %b) {
; Whether dtypes mean the same: there may be several of one number, those of unpickled arrays for one.
entry:
  %same = icmp eq i64 %a, %b
  br i1 %same, label %yes, label %fields
fields:
  %a_place = inttoptr i64 %a to ptr
  %b_place = inttoptr i64 %b to ptr
  %a_number_place = getelementptr i8, ptr %a_place, i64 {NUMBER}
  %b_number_place = getelementptr i8, ptr %b_place, i64 {NUMBER}
  %a_number = load i32, ptr %a_number_place, align 4
  %b_number = load i32, ptr %b_number_place, align 4
  %a_order_place = getelementptr i8, ptr %a_place, i64 {BYTE_ORDER}
  %b_order_place = getelementptr i8, ptr %b_place, i64 {BYTE_ORDER}
  %a_order = load i8, ptr %a_order_place, align 1
  %b_order = load i8, ptr %b_order_place, align 1
  %numbers = icmp eq i32 %a_number, %b_number
  %orders = icmp eq i8 %a_order, %b_order
  %both = and i1 %numbers, %orders
  ret i1 %both
yes:
  ret i1 true
}

define internal i1 @fits(ptr %array, ptr %record, i32 %wanted) {
; Whether an array is of the record's dtype and shape, and has all these flags.
entry:
  %dtype_place = getelementptr i8, ptr %array, i64 {DTYPE}
  %dtype = load i64, ptr %dtype_place, align 8
  %dtype_wanted = load i64, ptr %record, align 8
  %dtype_right = call i1 @same_dtype(i64 %dtype, i64 %dtype_wanted)
  %rank_place = getelementptr i8, ptr %array, i64 {RANK}
  %rank_narrow = load i32, ptr %rank_place, align 4
  %rank = sext i32 %rank_narrow to i64
  %rank_wanted = call i64 @word(ptr %record, i64 1)
  %rank_right = icmp eq i64 %rank, %rank_wanted
  %flags_place = getelementptr i8, ptr %array, i64 {FLAGS}
  %flags = load i32, ptr %flags_place, align 4
  %flags_set = and i32 %flags, %wanted
  %flags_right = icmp eq i32 %flags_set, %wanted
  %both = and i1 %dtype_right, %rank_right
  %all = and i1 %both, %flags_right
  br i1 %all, label %sizes, label %no
sizes:
  %shape_place = getelementptr i8, ptr %array, i64 {SHAPE}
  %shape = load ptr, ptr %shape_place, align 8
  %shape_wanted = call ptr @pointer(ptr %record, i64 2)
  br label %axis
axis:
  %k = phi i64 [ 0, %sizes ], [ %next, %size ]
  %more = icmp slt i64 %k, %rank
  br i1 %more, label %size, label %yes
size:
  %size_a = call i64 @word(ptr %shape, i64 %k)
  %size_b = call i64 @word(ptr %shape_wanted, i64 %k)
  %next = add i64 %k, 1
  %same = icmp eq i64 %size_a, %size_b
  br i1 %same, label %axis, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define internal i1 @number(ptr %description, ptr %object, ptr %record, ptr %place) {
; Whether an object is a number that stands for an input; it is stored as the input's dtype.
entry:
  %overflow = alloca i32, align 4
  %type = call i64 @type_of(ptr %object)
  %kind = call i64 @word(ptr %record, i64 5)
  %float = call i64 @word(ptr %description, i64 11)
  %int = call i64 @word(ptr %description, i64 12)
  %is_float = icmp eq i64 %type, %float
  %is_int = icmp eq i64 %type, %int
  switch i64 %kind, label %no [
    i64 1, label %real
    i64 2, label %real
    i64 3, label %whole
    i64 4, label %whole
  ]
real:
  br i1 %is_float, label %real_value, label %no
real_value:
  %x = call double @PyFloat_AsDouble(ptr %object)
  %above = fcmp ogt double %x, -1.0e38
  %below = fcmp olt double %x, 1.0e38
  %moderate = and i1 %above, %below
  br i1 %moderate, label %real_store, label %no
real_store:
  %short = icmp eq i64 %kind, 1
  br i1 %short, label %real_short, label %real_long
real_short:
  %y = fptrunc double %x to float
  store float %y, ptr %place, align 4
  ret i1 true
real_long:
  store double %x, ptr %place, align 8
  ret i1 true
whole:
  br i1 %is_int, label %whole_value, label %no
whole_value:
  %n = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow)
  %beyond = load i32, ptr %overflow, align 4
  %in_64 = icmp eq i32 %beyond, 0
  %narrow = trunc i64 %n to i32
  %wide = sext i32 %narrow to i64
  %in_32 = icmp eq i64 %wide, %n
  %long = icmp eq i64 %kind, 4
  %enough = or i1 %long, %in_32
  %good = and i1 %in_64, %enough
  br i1 %good, label %whole_store, label %no
whole_store:
  br i1 %long, label %whole_long, label %whole_short
whole_short:
  store i32 %narrow, ptr %place, align 4
  ret i1 true
whole_long:
  store i64 %n, ptr %place, align 8
  ret i1 true
no:
  ret i1 false
}

define internal i1 @meets(ptr %description, ptr %addresses, i64 %last) {
; Whether the memory of the last of these arrays overlaps that of one before it.
entry:
  %start = call i64 @word(ptr %addresses, i64 %last)
  %own = call ptr @record(ptr %description, i64 %last)
  %bytes = call i64 @word(ptr %own, i64 3)
  %end = add i64 %start, %bytes
  br label %array
array:
  %k = phi i64 [ 0, %entry ], [ %next, %compare ]
  %more = icmp slt i64 %k, %last
  br i1 %more, label %compare, label %no
compare:
  %other = call i64 @word(ptr %addresses, i64 %k)
  %record = call ptr @record(ptr %description, i64 %k)
  %other_bytes = call i64 @word(ptr %record, i64 3)
  %other_end = add i64 %other, %other_bytes
  %before = icmp ult i64 %start, %other_end
  %after = icmp ult i64 %other, %end
  %both = and i1 %before, %after
  %next = add i64 %k, 1
  br i1 %both, label %yes, label %array
yes:
  ret i1 true
no:
  ret i1 false
}

define internal i1 @take_inputs(ptr %description, ptr %values, ptr %addresses, ptr %numbers) {
; Whether the values are what the program takes; notes where their elements are.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %ndarray = call i64 @word(ptr %description, i64 10)
  br label %input
input:
  %k = phi i64 [ 0, %entry ], [ %next, %taken ]
  %more = icmp slt i64 %k, %inputs
  br i1 %more, label %look, label %yes
look:
  %place = getelementptr ptr, ptr %values, i64 %k
  %value = load ptr, ptr %place, align 8
  %record = call ptr @record(ptr %description, i64 %k)
  %type = call i64 @type_of(ptr %value)
  %is_array = icmp eq i64 %type, %ndarray
  br i1 %is_array, label %array, label %other
array:
  %fits = call i1 @fits(ptr %value, ptr %record, i32 257) ; contiguous, aligned
  %data = call i64 @address_of(ptr %value)
  br label %found
other:
  %number = getelementptr i64, ptr %numbers, i64 %k
  %stands = call i1 @number(ptr %description, ptr %value, ptr %record, ptr %number)
  %stored = ptrtoint ptr %number to i64
  br label %found
found:
  %good = phi i1 [ %fits, %array ], [ %stands, %other ]
  %address = phi i64 [ %data, %array ], [ %stored, %other ]
  br i1 %good, label %taken, label %no
taken:
  %slot = getelementptr i64, ptr %addresses, i64 %k
  store i64 %address, ptr %slot, align 8
  %next = add i64 %k, 1
  br label %input
yes:
  ret i1 true
no:
  ret i1 false
}

define internal i32 @take_results(ptr %description, ptr %out, ptr %addresses, ptr %held, ptr %count) {
; 0: there are arrays for all results, a reference to each is held; 1: `out` is refused; 2: an exception.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %results = call i64 @word(ptr %description, i64 9)
  %ndarray = call i64 @word(ptr %description, i64 10)
  %tuple = call i64 @word(ptr %description, i64 13)
  %none = call ptr @pointer(ptr %description, i64 14)
  %is_none = icmp eq ptr %out, %none
  %type = call i64 @type_of(ptr %out)
  %is_tuple = icmp eq i64 %type, %tuple
  br i1 %is_none, label %next_result, label %given
given:
  br i1 %is_tuple, label %several, label %single
several:
  %size = call i64 @PyTuple_Size(ptr %out)
  br label %counted
single:
  br label %counted
counted:
  %offered = phi i64 [ %size, %several ], [ 1, %single ]
  %enough = icmp eq i64 %offered, %results
  br i1 %enough, label %next_result, label %refuse
next_result:
  %k = phi i64 [ 0, %entry ], [ 0, %counted ], [ %next, %taken ]
  %more = icmp slt i64 %k, %results
  br i1 %more, label %choose, label %done
choose:
  %at = add i64 %inputs, %k
  %record = call ptr @record(ptr %description, i64 %at)
  %slot = getelementptr i64, ptr %addresses, i64 %at
  br i1 %is_none, label %fresh, label %offer
fresh:
  %maker = call ptr @pointer(ptr %record, i64 5)
  %made = call ptr @PyObject_CallNoArgs(ptr %maker)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %raised, label %fresh_taken
fresh_taken:
  %made_data = call i64 @address_of(ptr %made)
  store i64 %made_data, ptr %slot, align 8
  br label %taken
offer:
  br i1 %is_tuple, label %item, label %look
item:
  %member = call ptr @PyTuple_GetItem(ptr %out, i64 %k)
  br label %look
look:
  %array = phi ptr [ %out, %offer ], [ %member, %item ]
  %array_type = call i64 @type_of(ptr %array)
  %is_array = icmp eq i64 %array_type, %ndarray
  br i1 %is_array, label %check, label %refuse
check:
  %fits = call i1 @fits(ptr %array, ptr %record, i32 1281) ; contiguous, aligned, writable
  br i1 %fits, label %apart, label %refuse
apart:
  %data = call i64 @address_of(ptr %array)
  store i64 %data, ptr %slot, align 8
  %meets = call i1 @meets(ptr %description, ptr %addresses, i64 %at)
  br i1 %meets, label %refuse, label %given_taken
given_taken:
  call void @Py_IncRef(ptr %array)
  br label %taken
taken:
  %result = phi ptr [ %made, %fresh_taken ], [ %array, %given_taken ]
  %held_slot = getelementptr ptr, ptr %held, i64 %k
  store ptr %result, ptr %held_slot, align 8
  %next = add i64 %k, 1
  store i64 %next, ptr %count, align 8
  br label %next_result
raised:
  %memory_error = call ptr @pointer(ptr %description, i64 16)
  %matches = call i32 @PyErr_ExceptionMatches(ptr %memory_error)
  %no_memory = icmp ne i32 %matches, 0
  br i1 %no_memory, label %forget, label %error
forget:
  call void @PyErr_Clear()
  br label %refuse
done:
  ret i32 0
refuse:
  ret i32 1
error:
  ret i32 2
}

define internal void @drop(ptr %held, i64 %count) {
entry:
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %following, %one ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %one, label %done
one:
  %place = getelementptr ptr, ptr %held, i64 %k
  %object = load ptr, ptr %place, align 8
  call void @Py_DecRef(ptr %object)
  %following = add i64 %k, 1
  br label %next
done:
  ret void
}

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
  br label %array
array:
  %k = phi i64 [ 0, %entry ], [ %next, %fill ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %fill, label %go
fill:
  %record = call ptr @record(ptr %description, i64 %k)
  %place = call i64 @word(ptr %record, i64 4)
  %slot = getelementptr i64, ptr %table, i64 %place
  %address = call i64 @word(ptr %addresses, i64 %k)
  store i64 %address, ptr %slot, align 8
  %next = add i64 %k, 1
  br label %array
go:
  call void @run(ptr %description, ptr %table, ptr %arena, ptr %pool)
  %status = call i64 @word(ptr %description, i64 7)
  %checked = icmp sge i64 %status, 0
  br i1 %checked, label %look, label %well
look:
  %status_place = getelementptr i8, ptr %arena, i64 %status
  %failed = load i64, ptr %status_place, align 8
  ret i64 %failed
well:
  ret i64 0
}

define internal ptr @returned(ptr %held, i64 %count) {
; What the caller gets for the references that are held.
entry:
  %single = icmp eq i64 %count, 1
  br i1 %single, label %one, label %several
one:
  %object = load ptr, ptr %held, align 8
  ret ptr %object
several:
  %tuple = call ptr @PyTuple_New(i64 %count)
  %failed = icmp eq ptr %tuple, null
  br i1 %failed, label %lost, label %next
lost:
  call void @drop(ptr %held, i64 %count)
  ret ptr null
next:
  %k = phi i64 [ 0, %several ], [ %following, %store ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %store, label %done
store:
  %place = getelementptr ptr, ptr %held, i64 %k
  %member = load ptr, ptr %place, align 8
  %ignored = call i32 @PyTuple_SetItem(ptr %tuple, i64 %k, ptr %member)
  %following = add i64 %k, 1
  br label %next
done:
  ret ptr %tuple
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
  br i1 %inputs_taken, label %results, label %refuse
results:
  %taken = call i32 @take_results(ptr %description, ptr %out, ptr %addresses, ptr %held, ptr %count)
  switch i32 %taken, label %error [
    i32 0, label %arena
    i32 1, label %refuse
  ]
arena:
  %arenas = call ptr @pointer(ptr %description, i64 6)
  %free = call i64 @PyList_Size(ptr %arenas)
  %some = icmp sgt i64 %free, 0
  br i1 %some, label %take, label %refuse
take:
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
  %ended = icmp ne ptr %raised, null
  br i1 %ended, label %error, label %check
check:
  %failed = icmp ne i64 %status, 0
  br i1 %failed, label %refuse, label %done ; the same call in Python says why
done:
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

define ptr @enter(ptr %self, ptr %args, i64 %nargs) {
; A built-in function (tuple of values, out), METH_FASTCALL; `self` is a tuple that begins with the description.
entry:
  %values = alloca [{MOST} x ptr], align 8
  %number = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %description = call ptr @PyLong_AsVoidPtr(ptr %number)
  %two = icmp eq i64 %nargs, 2
  br i1 %two, label %look, label %refuse
look:
  %given = load ptr, ptr %args, align 8
  %out_place = getelementptr ptr, ptr %args, i64 1
  %out = load ptr, ptr %out_place, align 8
  %tuple = call i64 @word(ptr %description, i64 13)
  %type = call i64 @type_of(ptr %given)
  %is_tuple = icmp eq i64 %type, %tuple
  br i1 %is_tuple, label %size, label %refuse
size:
  %inputs = call i64 @word(ptr %description, i64 8)
  %count = call i64 @PyTuple_Size(ptr %given)
  %all = icmp eq i64 %count, %inputs
  br i1 %all, label %next, label %refuse
next:
  %k = phi i64 [ 0, %size ], [ %following, %copy ]
  %more = icmp slt i64 %k, %inputs
  br i1 %more, label %copy, label %run
copy:
  %value = call ptr @PyTuple_GetItem(ptr %given, i64 %k)
  %slot = getelementptr ptr, ptr %values, i64 %k
  store ptr %value, ptr %slot, align 8
  %following = add i64 %k, 1
  br label %next
run:
  %result = call ptr @launch(ptr %description, ptr %values, ptr %out)
  ret ptr %result
refuse:
  %unusual = call ptr @pointer(ptr %description, i64 15)
  call void @Py_IncRef(ptr %unusual)
  ret ptr %unusual
}

define internal i1 @bind(ptr %description, ptr %args, i64 %nargs, ptr %names, ptr %values, ptr %out) {
; Puts arguments in the order of the inputs, and `out` in its place; false where they are not exactly these.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %name_out = call ptr @pointer(ptr %description, i64 17)
  %none = call ptr @pointer(ptr %description, i64 14)
  store ptr %none, ptr %out, align 8
  %too_many = icmp sgt i64 %nargs, %inputs
  br i1 %too_many, label %no, label %positional
positional:
  %k = phi i64 [ 0, %entry ], [ %next, %place ]
  %more = icmp slt i64 %k, %inputs
  br i1 %more, label %place, label %named
place:
  %argument = getelementptr ptr, ptr %args, i64 %k
  %present = icmp slt i64 %k, %nargs
  %source = select i1 %present, ptr %argument, ptr @nothing
  %object = load ptr, ptr %source, align 8
  %slot = getelementptr ptr, ptr %values, i64 %k
  store ptr %object, ptr %slot, align 8
  %next = add i64 %k, 1
  br label %positional
named:
  %no_names = icmp eq ptr %names, null
  br i1 %no_names, label %complete, label %count
count:
  %names_count = call i64 @PyTuple_Size(ptr %names)
  br label %next_name
next_name:
  %n = phi i64 [ 0, %count ], [ %n_next, %accepted ]
  %more_names = icmp slt i64 %n, %names_count
  br i1 %more_names, label %name, label %complete
name:
  %name_object = call ptr @PyTuple_GetItem(ptr %names, i64 %n)
  %value_at = add i64 %nargs, %n
  %value_place = getelementptr ptr, ptr %args, i64 %value_at
  %value = load ptr, ptr %value_place, align 8
  %is_out = icmp eq ptr %name_object, %name_out
  br i1 %is_out, label %store_out, label %search
store_out:
  store ptr %value, ptr %out, align 8
  br label %accepted
search:
  %s = phi i64 [ 0, %name ], [ %s_next, %other ]
  %within = icmp slt i64 %s, %inputs
  br i1 %within, label %compare, label %no
compare:
  %record = call ptr @record(ptr %description, i64 %s)
  %own_name = call ptr @pointer(ptr %record, i64 6)
  %same = icmp eq ptr %own_name, %name_object ; both are interned; another string is refused
  br i1 %same, label %match, label %other
other:
  %s_next = add i64 %s, 1
  br label %search
match:
  %value_slot = getelementptr ptr, ptr %values, i64 %s
  %before = load ptr, ptr %value_slot, align 8
  %unset = icmp eq ptr %before, null
  br i1 %unset, label %set, label %no
set:
  store ptr %value, ptr %value_slot, align 8
  br label %accepted
accepted:
  %n_next = add i64 %n, 1
  br label %next_name
complete:
  %c = phi i64 [ 0, %named ], [ 0, %next_name ], [ %c_next, %full ]
  %c_more = icmp slt i64 %c, %inputs
  br i1 %c_more, label %full, label %yes
full:
  %c_place = getelementptr ptr, ptr %values, i64 %c
  %c_value = load ptr, ptr %c_place, align 8
  %c_next = add i64 %c, 1
  %missing = icmp eq ptr %c_value, null
  br i1 %missing, label %no, label %complete
yes:
  ret i1 true
no:
  ret i1 false
}

@nothing = internal global ptr null, align 8

define ptr @call(ptr %self, ptr %args, i64 %nargs, ptr %kwnames) {
; The method `__call__` of executables, METH_FASTCALL | METH_KEYWORDS.
entry:
  %values = alloca [{MOST} x ptr], align 8
  %out_place = alloca ptr, align 8
  %name = load ptr, ptr @names, align 8
  %number = call ptr @PyObject_GetAttr(ptr %self, ptr %name)
  %broken = icmp eq ptr %number, null
  br i1 %broken, label %error, label %bind
bind:
  %description = call ptr @PyLong_AsVoidPtr(ptr %number)
  call void @Py_DecRef(ptr %number)
  %bound = call i1 @bind(ptr %description, ptr %args, i64 %nargs, ptr %kwnames, ptr %values, ptr %out_place)
  br i1 %bound, label %run, label %python
run:
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
  %lost = icmp eq ptr %slow, null
  br i1 %lost, label %error, label %call_python
call_python:
  %answer = call ptr @PyObject_Vectorcall(ptr %slow, ptr %args, i64 %nargs, ptr %kwnames)
  call void @Py_DecRef(ptr %slow)
  ret ptr %answer
error:
  ret ptr null
}
"""


# Reads of fields, written like calls and spelled out here: in a module that no pass sees nothing would inline them.
_FIELDS = {
    "i64 @word": "getelementptr i64, ptr {0}, i64 {1} | load i64",
    "ptr @pointer": "getelementptr i64, ptr {0}, i64 {1} | load ptr",
    "i64 @type_of": f"getelementptr i8, ptr {{0}}, i64 {TYPE} | load i64",
    "i64 @address_of": f"getelementptr i8, ptr {{0}}, i64 {DATA} | load i64",
}


def text() -> str:
    """The module: exports `enter`, `call` and `names`."""
    words = {"HEADER": HEADER, "RECORD": RECORD, "MOST": MOST, "KEPT": KEPT}
    words |= {"RANK": RANK, "SHAPE": SHAPE, "DTYPE": DTYPE, "FLAGS": FLAGS, "BYTE_ORDER": BYTE_ORDER, "NUMBER": NUMBER}
    body = "\n".join(map(_spelled, _IR.splitlines()))
    for word, value in words.items():
        body = body.replace(f"{{{word}}}", str(value))
    declared = (f"declare {t.split(' ', 1)[0]} @{n}{t.split(' ', 1)[1]}" for n, t in IMPORTS.items())
    return "\n".join(declared) + body + "\n"


def _spelled(line: str) -> str:
    """A line, or two instructions for a read: the place, and what is there."""
    result, _, call = line.partition(" = call ")
    function, _, rest = call.partition("(")
    if function not in _FIELDS:
        return line
    arguments = [a.split(" ")[1] for a in rest.partition(")")[0].split(", ")]
    place, load = _FIELDS[function].format(*arguments).split(" | ")
    return f"{result}.at = {place}\n{result} = {load}, ptr {result.strip()}.at, align 8"
