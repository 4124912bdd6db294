# SPDX-License-Identifier: Apache-2.0
# Loads the KUnit module (its suites run at once) and turns the KTAP in the kernel's log into TAP
# lines: one per test case, and one that says whether all planned cases ran.
dmesg -c >/dev/null
insmod /t/kunit/speckv_kunit.ko || echo "not ok 1 - kunit: the module loads"
dmesg | sed 's/^\[[^]]*\] //' >/tmp/ktap
rmmod speckv_kunit
awk '
/^    # Subtest: / { suite = $3 }
/^    1\.\.[0-9]+$/ { planned += substr($1, 4) }
/^    # .*: / { sub(/^ */, ""); print }
/^    (not )?ok [0-9]+ / {
	passed = $1 == "ok"; name = passed ? $3 : $4; ran++
	if (!passed) failed++
	print (passed ? "" : "not ") "ok " ran " - kunit: " suite ": " name
}
!/^ *(not )?ok / && /EXPECTATION|ASSERTION|Expected|==/ { print "#" $0 }
END {
	whole = planned > 0 && ran == planned
	print (whole ? "" : "not ") "ok " ran + 1 " - kunit: " planned " planned cases ran"
	exit failed > 0 || !whole
}' /tmp/ktap
