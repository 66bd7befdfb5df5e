"""IR that looks at a program's inputs: arrays of its dtypes and shapes, and numbers that stand for some of them."""

from __future__ import annotations

TEXT = """
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
  require %all, label %no
  %shape_place = getelementptr i8, ptr %array, i64 {SHAPE}
  %shape = load ptr, ptr %shape_place, align 8
  %shape_wanted = call ptr @pointer(ptr %record, i64 2)
  for %axis below %rank {
    %size = call i64 @word(ptr %shape, i64 %axis)
    %size_wanted = call i64 @word(ptr %shape_wanted, i64 %axis)
    %same = icmp eq i64 %size, %size_wanted
    require %same, label %no
  }
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
  require %is_float, label %no
  %x = call double @PyFloat_AsDouble(ptr %object)
  %above = fcmp ogt double %x, -1.0e38
  %below = fcmp olt double %x, 1.0e38
  %moderate = and i1 %above, %below
  require %moderate, label %no
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
  require %is_int, label %no
  %n = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow)
  %beyond = load i32, ptr %overflow, align 4
  %in_64 = icmp eq i32 %beyond, 0
  %narrow = trunc i64 %n to i32
  %wide = sext i32 %narrow to i64
  %in_32 = icmp eq i64 %wide, %n
  %long = icmp eq i64 %kind, 4
  %enough = or i1 %long, %in_32
  %good = and i1 %in_64, %enough
  require %good, label %no
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

define internal i1 @take_inputs(ptr %description, ptr %values, ptr %addresses, ptr %numbers) {
; Whether the values are what the program takes; notes where their elements are.
entry:
  %inputs = call i64 @word(ptr %description, i64 8)
  %ndarray = call i64 @word(ptr %description, i64 10)
  for %k below %inputs {
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
    require %good, label %no
    %slot = getelementptr i64, ptr %addresses, i64 %k
    store i64 %address, ptr %slot, align 8
  }
  ret i1 true
no:
  ret i1 false
}
"""
