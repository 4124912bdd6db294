# SPDX-License-Identifier: Apache-2.0
# common.sh - what the engines' test rooms share: a pinned environment made once, the packages of
# the tree in it, and the counting. Sourced by tests/engines/*/run from the tree's top folder, which
# set `room` (a folder of build/engines) first.

env=$room/env
pip=("$env/bin/pip" --disable-pip-version-check)
passed=0 failed=0

# make_environment FOLDER SIZE STEP - the environment that FOLDER's *.txt pin, then the function
# STEP. Again: nothing, unless a pin has changed.
make_environment() {
  local stamp=$room/made want
  want=$(cat "$1"/*.txt | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  echo "engines: making $env ($2; once, minutes)"
  rm -rf "$room"
  mkdir -p "$room"
  /usr/bin/python3 -m venv "$env"
  nice -n 10 "${pip[@]}" install --require-hashes --no-deps --only-binary=:all: \
    -r "$1/requirements.txt"
  "$3" "$1"
  echo "$want" >"$stamp"
}

# install_speckv ADAPTER - the package speckv on the library of build/release, and an adapter.
install_speckv() {
  rm -rf "$room/prefix"
  cmake --install build/release --prefix "$room/prefix" >"$room/install.log"
  "${pip[@]}" -q install --no-deps --no-build-isolation \
    --force-reinstall --config-settings=cmake.define.SPECKV_INSTALLED=ON \
    --config-settings="cmake.define.CMAKE_PREFIX_PATH=$room/prefix" ./libspeckv/python
  "${pip[@]}" -q install --no-deps --no-build-isolation \
    --force-reinstall "./libspeckv/adapters/$1"
}

# count LOG - adds what the log's last summary says, of pytest or of ours. None is a failure.
count() {
  local p f
  p=$(grep -oE '[0-9]+ passed' "$1" | tail -1) || true
  f=$(grep -oE '[0-9]+ (failed|error)' "$1" | tail -1) || true
  [ -n "$p$f" ] || f=1
  passed=$((passed + ${p%% *} + 0)) failed=$((failed + ${f%% *} + 0))
}

summary() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
