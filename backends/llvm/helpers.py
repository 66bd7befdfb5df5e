"""Functions that a module defines for itself, where LLVM would call the C library."""

from __future__ import annotations

# The remainder of truncated division, exact: long division of the mantissas, one bit a step, as in every C library.
FMOD = """
define internal double @tilec.fmod(double %x, double %y) #0 {
entry:
  %xb = bitcast double %x to i64
  %yb = bitcast double %y to i64
  %sign = and i64 %xb, -9223372036854775808
  %ax = and i64 %xb, 9223372036854775807
  %ay = and i64 %yb, 9223372036854775807
  %zero_y = icmp eq i64 %ay, 0
  %nan_y = icmp ugt i64 %ay, 9218868437227405312
  %wild_x = icmp uge i64 %ax, 9218868437227405312
  %bad_y = or i1 %zero_y, %nan_y
  %bad = or i1 %bad_y, %wild_x
  br i1 %bad, label %invalid, label %valid
invalid:
  ret double 0x7FF8000000000000
valid:
  %below = icmp ult i64 %ax, %ay
  br i1 %below, label %same, label %divide
same:
  ret double %x
divide:
  %ex0 = lshr i64 %ax, 52
  %ey0 = lshr i64 %ay, 52
  %fx = and i64 %ax, 4503599627370495
  %fy = and i64 %ay, 4503599627370495
  %nx = or i64 %fx, 4503599627370496
  %ny = or i64 %fy, 4503599627370496
  %subx = icmp eq i64 %ex0, 0
  %suby = icmp eq i64 %ey0, 0
  %mx0 = select i1 %subx, i64 %fx, i64 %nx
  %my0 = select i1 %suby, i64 %fy, i64 %ny
  %ex1 = select i1 %subx, i64 1, i64 %ex0
  %ey1 = select i1 %suby, i64 1, i64 %ey0
  %lx = call i64 @llvm.ctlz.i64(i64 %mx0, i1 false)
  %ly = call i64 @llvm.ctlz.i64(i64 %my0, i1 false)
  %kx = sub i64 %lx, 11
  %ky = sub i64 %ly, 11
  %ux = and i64 %kx, 63
  %uy = and i64 %ky, 63
  %mx = shl i64 %mx0, %ux
  %my = shl i64 %my0, %uy
  %ex = sub i64 %ex1, %kx
  %ey = sub i64 %ey1, %ky
  br label %step
step:
  %r = phi i64 [ %mx, %divide ], [ %twice, %go ]
  %e = phi i64 [ %ex, %divide ], [ %less, %go ]
  %d = sub i64 %r, %my
  %fits = icmp sge i64 %d, 0
  %rest = select i1 %fits, i64 %d, i64 %r
  %end = icmp sle i64 %e, %ey
  %nothing = icmp eq i64 %rest, 0
  %stop = or i1 %end, %nothing
  br i1 %stop, label %pack, label %go
go:
  %twice = shl i64 %rest, 1
  %less = sub i64 %e, 1
  br label %step
pack:
  br i1 %nothing, label %nil, label %normalise
nil:
  %signed_zero = bitcast i64 %sign to double
  ret double %signed_zero
normalise:
  %lr = call i64 @llvm.ctlz.i64(i64 %rest, i1 false)
  %kr = sub i64 %lr, 11
  %mr = shl i64 %rest, %kr
  %er = sub i64 %e, %kr
  %normal = icmp sgt i64 %er, 0
  %bare = and i64 %mr, 4503599627370495
  %exponent = shl i64 %er, 52
  %joined = or i64 %bare, %exponent
  %down = sub i64 1, %er
  %room = and i64 %down, 63
  %shifted = lshr i64 %mr, %room
  %size = select i1 %normal, i64 %joined, i64 %shifted
  %bits = or i64 %size, %sign
  %result = bitcast i64 %bits to double
  ret double %result
}
"""

# Text of the definition by the function's name, and the intrinsics that it needs.
HELPERS: dict[str, tuple[str, str]] = {"tilec.fmod": (FMOD, "declare i64 @llvm.ctlz.i64(i64, i1 immarg)")}
