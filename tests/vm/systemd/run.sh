# SPDX-License-Identifier: Apache-2.0
# The service over a card, from an empty machine to a crash and a stop: run in the guest by a unit
# after multi-user.target. Every step is what docs/driver.md tells an operator to do.
export SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
number=0 failed=0
does() { # NAME COMMAND...
	name=$1
	shift
	number=$((number + 1))
	if "$@" >/tmp/out 2>&1; then
		echo "ok $number - systemd: $name"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $number - systemd: $name"
	sed 's/^/# /' /tmp/out
	journalctl -b -u speckvd -n 15 --no-pager 2>/dev/null | sed 's/^/# /'
}
is() { # WANTED COMMAND...
	wanted=$1
	shift
	got=$("$@")
	[ "$got" = "$wanted" ] || { echo "is '$got', expected '$wanted'" && return 1; }
}
until_is() { # WANTED COMMAND...
	tries=0
	until is "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || { is "$@"; return 1; }
		sleep 0.2
	done
}
until_true() { # COMMAND...
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		sleep 0.2
	done
}
used_bytes() { cat /sys/class/speckv/speckv0/used_bytes; }
state() { systemctl is-active speckvd; }
has_extents() { [ "$(used_bytes)" -gt 0 ]; }
show() { systemctl show -P "$1" speckvd; }

echo # systemd leaves the console in the middle of a line
ldconfig
systemd-sysusers && systemd-tmpfiles --create speckv.conf
# udevd looked the rule's user up when it started, and does not reload rules that have not changed.
systemctl restart systemd-udevd
udevadm trigger --action=add --settle # what it was told while it was away
does "udev loads the card's modules" udevadm wait --timeout=120 /sys/bus/cxl/devices/mem0

cat >/etc/speckv/speckvd.toml <<'TOML'
[pool]
medium = "extent"
path = "/dev/speckv/by-id/cxl-0x5eedcafe"

[[namespace]]
name = "default"
bytes = "64MiB"
TOML
systemctl daemon-reload
does "without its card the service does not start" sh -c '! systemctl start speckvd'
tried_often() { [ "$(show NRestarts)" -ge 7 ]; } # systemd's own limit is 5 in 10 s
does "and is not given up" until_true tried_often
echo 'SPECKV_CARDS="0xbad"' >/etc/speckv/region.conf
does "a card that is not there is an error" sh -c '! systemctl start speckv-region'
does "which names what there is" sh -c \
	'journalctl -b -u speckv-region | grep -q "no card 0xbad; there are 0x5eedcafe"'
echo 'SPECKV_CARDS="0x5eedcafe"' >/etc/speckv/region.conf
does "the region's service makes it" systemctl start speckv-region
does "with the options of modprobe.d" is 30 cat /sys/module/speckv/parameters/drain_seconds
does "kmem keeps away, as modprobe.d says" sh -c '! grep -q ^kmem /proc/modules'
does "a second time it finds all done" systemctl restart speckv-region
does "the node is the daemon's alone" udevadm settle
does "by the udev rule" is "speckv 600" stat -c '%U %a' /dev/speckv0
does "it has a name by its card" is /dev/speckv0 readlink -f /dev/speckv/by-id/cxl-0x5eedcafe
does "a unit can wait for it" until_is active systemctl is-active dev-speckv0.device
does "the daemon starts by itself now" until_is active state
does "the OOM killer takes others first" sh -c \
	'grep -qx -- -900 "/proc/$(systemctl show -P MainPID speckvd)/oom_score_adj"'
does "and is active" is active state
does "its pool is in extents" has_extents
does "it answers" sh -c 'speckvctl --json status | grep -q extent'
does "systemd holds its device" test "$(show NFileDescriptorStore)" -ge 1
before=$(used_bytes) main=$(show MainPID) restarts=$(show NRestarts)
kill -KILL "$main"
does "a crash leaves the extents" is "$before" used_bytes
restarts=$((restarts + 1))
does "systemd starts it again" until_is $restarts show NRestarts
does "and it is active" until_is active state
does "on the same extents" is "$before" used_bytes
does "restart" systemctl restart speckvd
does "and active" is active state
does "on the same extents again" is "$before" used_bytes
does "stop" systemctl stop speckvd
does "gives the memory back" until_is 0 used_bytes
does "no unit failed" is 0 sh -c 'systemctl --failed --no-legend | wc -l'
echo "1..$number"
exit $((failed > 0))
