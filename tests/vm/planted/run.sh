# SPDX-License-Identifier: Apache-2.0
# Loads the module of planted bugs; the host judges the console. The module refuses to stay.
insmod /t/planted.ko
exit 0
