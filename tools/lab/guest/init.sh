#!/bin/busybox sh
# First process of the guest, in the initramfs: loads the modules, mounts the host's root read-only as the guest's
# root, and the lab's folder at /run/lab, then goes on with start.sh there. What the guest writes goes into folders in
# memory, which hide those of the host; the project and Node are there all the same.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
for module in $($bb cat /modules/order); do
  $bb insmod "/modules/$module" || echo "lab: insmod $module failed"
done
share='trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose'
$bb mount -t 9p -o "$share" hostroot /newroot || echo 'lab: no root'
# Without what is mounted into it below.
$bb mkdir -p /hostroot
$bb mount --bind /newroot /hostroot
# Before switch_root, or the guest would look at the host's.
for dir in proc sys dev; do $bb mount --move "/$dir" "/newroot/$dir"; done
$bb mkdir -p /newroot/dev/shm
for dir in run tmp var/tmp dev/shm; do $bb mount -t tmpfs tmpfs "/newroot/$dir"; done
$bb mkdir -p /newroot/run/lab /newroot/run/netns
$bb mount -t 9p -o "$share" lab /newroot/run/lab || echo 'lab: no folder'
for dir in "$LAB_PROJECT" "$LAB_NODE"; do
  [ -e "/newroot$dir" ] && continue
  $bb mkdir -p "/newroot$dir"
  $bb mount --bind "/hostroot$dir" "/newroot$dir" || echo "lab: no $dir"
done
$bb umount /hostroot
exec $bb switch_root /newroot /bin/bash /run/lab/start.sh
