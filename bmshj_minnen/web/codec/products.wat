;; Sums of products of 16-bit integers in 32 bits: y[r, o] = sum over i of x[r, i] w[o, i].
;;
;; x: rows of int16, $bytes each, a multiple of 16; w: as many int16 for each output; y: int32,
;; [rows, outputs]. Rows are a multiple of 4 and outputs of 2. Sums that leave 32 bits wrap around:
;; the caller knows that none does. `wat2wasm products.wat` writes products.wasm.
(module
  (import "codec" "memory" (memory 1))

  (func $sum (param $lanes v128) (result i32)
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $lanes)) (i32x4.extract_lane 1 (local.get $lanes)))
      (i32.add (i32x4.extract_lane 2 (local.get $lanes)) (i32x4.extract_lane 3 (local.get $lanes)))))

  (func (export "products")
    (param $x i32) (param $w i32) (param $y i32) (param $rows i32) (param $outputs i32) (param $bytes i32)
    (local $output i32) (local $row i32) (local $at i32) (local $end i32) (local $to i32)
    (local $second i32)
    (local $x0 v128) (local $x1 v128) (local $x2 v128) (local $x3 v128) (local $w0 v128) (local $w1 v128)
    (local $s00 v128) (local $s01 v128) (local $s10 v128) (local $s11 v128)
    (local $s20 v128) (local $s21 v128) (local $s30 v128) (local $s31 v128)
    (local $a0 i32) (local $a1 i32) (local $a2 i32) (local $a3 i32)
    (local $line i32)
    (local.set $line (i32.mul (local.get $outputs) (i32.const 4)))
    (loop $outputs_loop
      (local.set $row (i32.const 0))
      (loop $rows_loop
        (local.set $a0 (i32.add (local.get $x) (i32.mul (local.get $row) (local.get $bytes))))
        (local.set $a1 (i32.add (local.get $a0) (local.get $bytes)))
        (local.set $a2 (i32.add (local.get $a1) (local.get $bytes)))
        (local.set $a3 (i32.add (local.get $a2) (local.get $bytes)))
        (local.set $at (i32.add (local.get $w) (i32.mul (local.get $output) (local.get $bytes))))
        (local.set $second (i32.add (local.get $at) (local.get $bytes)))
        (local.set $end (local.get $second))
        (local.set $s00 (v128.const i32x4 0 0 0 0)) (local.set $s01 (v128.const i32x4 0 0 0 0))
        (local.set $s10 (v128.const i32x4 0 0 0 0)) (local.set $s11 (v128.const i32x4 0 0 0 0))
        (local.set $s20 (v128.const i32x4 0 0 0 0)) (local.set $s21 (v128.const i32x4 0 0 0 0))
        (local.set $s30 (v128.const i32x4 0 0 0 0)) (local.set $s31 (v128.const i32x4 0 0 0 0))
        (loop $inputs_loop
          (local.set $w0 (v128.load (local.get $at)))
          (local.set $w1 (v128.load (local.get $second)))
          (local.set $x0 (v128.load (local.get $a0)))
          (local.set $s00
            (i32x4.add (local.get $s00) (i32x4.dot_i16x8_s (local.get $x0) (local.get $w0))))
          (local.set $s01
            (i32x4.add (local.get $s01) (i32x4.dot_i16x8_s (local.get $x0) (local.get $w1))))
          (local.set $x1 (v128.load (local.get $a1)))
          (local.set $s10
            (i32x4.add (local.get $s10) (i32x4.dot_i16x8_s (local.get $x1) (local.get $w0))))
          (local.set $s11
            (i32x4.add (local.get $s11) (i32x4.dot_i16x8_s (local.get $x1) (local.get $w1))))
          (local.set $x2 (v128.load (local.get $a2)))
          (local.set $s20
            (i32x4.add (local.get $s20) (i32x4.dot_i16x8_s (local.get $x2) (local.get $w0))))
          (local.set $s21
            (i32x4.add (local.get $s21) (i32x4.dot_i16x8_s (local.get $x2) (local.get $w1))))
          (local.set $x3 (v128.load (local.get $a3)))
          (local.set $s30
            (i32x4.add (local.get $s30) (i32x4.dot_i16x8_s (local.get $x3) (local.get $w0))))
          (local.set $s31
            (i32x4.add (local.get $s31) (i32x4.dot_i16x8_s (local.get $x3) (local.get $w1))))
          (local.set $a0 (i32.add (local.get $a0) (i32.const 16)))
          (local.set $a1 (i32.add (local.get $a1) (i32.const 16)))
          (local.set $a2 (i32.add (local.get $a2) (i32.const 16)))
          (local.set $a3 (i32.add (local.get $a3) (i32.const 16)))
          (local.set $second (i32.add (local.get $second) (i32.const 16)))
          (br_if $inputs_loop
            (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
        (local.set $to
          (i32.add (local.get $y)
            (i32.add (i32.mul (local.get $row) (local.get $line)) (i32.shl (local.get $output) (i32.const 2)))))
        (i32.store (local.get $to) (call $sum (local.get $s00)))
        (i32.store offset=4 (local.get $to) (call $sum (local.get $s01)))
        (local.set $to (i32.add (local.get $to) (local.get $line)))
        (i32.store (local.get $to) (call $sum (local.get $s10)))
        (i32.store offset=4 (local.get $to) (call $sum (local.get $s11)))
        (local.set $to (i32.add (local.get $to) (local.get $line)))
        (i32.store (local.get $to) (call $sum (local.get $s20)))
        (i32.store offset=4 (local.get $to) (call $sum (local.get $s21)))
        (local.set $to (i32.add (local.get $to) (local.get $line)))
        (i32.store (local.get $to) (call $sum (local.get $s30)))
        (i32.store offset=4 (local.get $to) (call $sum (local.get $s31)))
        (br_if $rows_loop
          (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows))))
      (br_if $outputs_loop
        (i32.lt_u (local.tee $output (i32.add (local.get $output) (i32.const 2))) (local.get $outputs))))))
