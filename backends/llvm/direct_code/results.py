"""IR that finds arrays for a program's results, fresh ones or those of `out`, and hands them to the caller."""

from __future__ import annotations

TEXT = """
define internal i1 @meets(ptr %description, ptr %addresses, i64 %last) {
; Whether the memory of the last of these arrays overlaps that of one before it.
entry:
  %start = call i64 @word(ptr %addresses, i64 %last)
  %own = call ptr @record(ptr %description, i64 %last)
  %bytes = call i64 @word(ptr %own, i64 3)
  %end = add i64 %start, %bytes
  for %k below %last {
    %other = call i64 @word(ptr %addresses, i64 %k)
    %record = call ptr @record(ptr %description, i64 %k)
    %other_bytes = call i64 @word(ptr %record, i64 3)
    %other_end = add i64 %other, %other_bytes
    %behind = icmp uge i64 %start, %other_end
    %before = icmp uge i64 %other, %end
    %apart = or i1 %behind, %before
    require %apart, label %yes
  }
  ret i1 false
yes:
  ret i1 true
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
  br i1 %is_none, label %take, label %given
given:
  br i1 %is_tuple, label %several, label %counted
several:
  %size = call i64 @PyTuple_Size(ptr %out)
  br label %counted
counted:
  %offered = phi i64 [ %size, %several ], [ 1, %given ]
  %enough = icmp eq i64 %offered, %results
  br i1 %enough, label %take, label %refuse
take:
  for %k below %results {
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
    require %is_array, label %refuse
    %fits = call i1 @fits(ptr %array, ptr %record, i32 1281) ; contiguous, aligned, writable
    require %fits, label %refuse
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
    %held_count = add i64 %k, 1
    store i64 %held_count, ptr %count, align 8
  }
  ret i32 0
raised:
  %memory_error = call ptr @pointer(ptr %description, i64 16)
  %matches = call i32 @PyErr_ExceptionMatches(ptr %memory_error)
  %no_memory = icmp ne i32 %matches, 0
  br i1 %no_memory, label %forget, label %error
forget:
  call void @PyErr_Clear()
  br label %refuse
refuse:
  ret i32 1
error:
  ret i32 2
}

define internal void @drop(ptr %held, i64 %count) {
entry:
  for %k below %count {
    %place = getelementptr ptr, ptr %held, i64 %k
    %object = load ptr, ptr %place, align 8
    call void @Py_DecRef(ptr %object)
  }
  ret void
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
  %made = icmp ne ptr %tuple, null
  require %made, label %lost
  for %k below %count {
    %place = getelementptr ptr, ptr %held, i64 %k
    %member = load ptr, ptr %place, align 8
    %ignored = call i32 @PyTuple_SetItem(ptr %tuple, i64 %k, ptr %member)
  }
  ret ptr %tuple
lost:
  call void @drop(ptr %held, i64 %count)
  ret ptr null
}
"""
