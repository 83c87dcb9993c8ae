#!/bin/sh
# Builds the C++ client against the TensorFlow of a Python's environment.
#
#   experiments/serving/build.sh PYTHON OUTPUT [COMPILER]
set -eu
python=$1 output=$2 compiler=${3:-g++}
flags=$("$python" -c 'import tensorflow as tf
library = tf.sysconfig.get_lib()
print(*tf.sysconfig.get_compile_flags(), "-L" + library, "-Wl,-rpath," + library)' 2>/dev/null)
if command -v ld.gold >/dev/null; then
  flags="$flags -fuse-ld=gold"  # It links in a fifth of the time.
fi
# shellcheck disable=SC2086  # The flags are several.
exec "$compiler" -O1 -o "$output" "$(dirname "$0")/client.cc" $flags \
  -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2
