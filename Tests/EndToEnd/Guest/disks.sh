# Each disk of DISKS is written, read, emptied, resized and loaded, all of them at the same time.

# Reads without the page cache.
uncached() { dd iflag=direct status=none "$@"; }

# Requests that a queue of a disk has answered, as interrupts are counted: the sum over processors.
interrupts() {
    awk -v name="$(basename "$(readlink "/sys/block/$1/device")")-req.$2" \
        '$NF == name { for (i = 2; i < NF && $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}

is_zero() { uncached if="$1" bs=1M count=1 skip="$2" | cmp -s -n 1048576 - /dev/zero; }

has_size() { [ "$(cat "/sys/block/$1/size")" = "$2" ]; }

read_back() { uncached if="$1" bs=64k count=64 | cmp -s - /pattern; }

cache_is() {
    echo "$2" > "/sys/block/$1/cache_type"
    [ "$(cat "/sys/block/$1/cache_type")" = "$2" ]
}

disk() {
    local name=$1 dev=/dev/$1 sys=/sys/block/$1
    echo "FACT $name size $(cat $sys/size)"
    echo "FACT $name block $(cat $sys/queue/logical_block_size)"
    echo "FACT $name read-only $(cat $sys/ro)"
    echo "FACT $name queues $(ls $sys/mq | wc -l)"
    echo "FACT $name serial $(cat $sys/serial)"
    echo "FACT $name cache $(cat $sys/queue/write_cache)"
    echo "FACT $name discard $(cat $sys/queue/discard_max_bytes)"
    echo "FACT $name zeroes $(cat $sys/queue/write_zeroes_max_bytes)"
    echo "FACT $name features $(cat $sys/device/features)"

    check "$name: write" dd if=/pattern of=$dev bs=64k oflag=direct conv=fsync status=none
    check "$name: read back" read_back $dev
    check "$name: no write cache" cache_is $name "write through"
    check "$name: write through" dd if=/pattern of=$dev bs=256k oflag=direct status=none
    check "$name: a write cache again" cache_is $name "write back"
    check "$name: write back" dd if=/pattern of=$dev bs=64k conv=fsync status=none
    check "$name: discard" blkdiscard -o 0 -l 1048576 $dev
    check "$name: zeroes" blkdiscard -z -o 1048576 -l 1048576 $dev
    check "$name: zeroes read" is_zero $dev 1

    check "$name: verified load" fio --name=load --filename=$dev --size=4M --offset=8M --offset_increment=4M --numjobs=2 \
        --cpus_allowed=0,1 --cpus_allowed_policy=split --rw=randwrite --bsrange=4k-32k --ioengine=libaio --iodepth=16 \
        --direct=1 --fsync=64 --verify=crc32c --verify_state_save=0 --minimal --output=/tmp/$name.fio
    check "$name: first queue in use" [ "$(interrupts $name 0)" -gt 0 ]
    check "$name: second queue in use" [ "$(interrupts $name 1)" -gt 0 ]

    echo "RESIZE $name"
    check "$name: resized" await 20 has_size $name "$NEW_SECTORS"
    check "$name: the new end" dd if=/pattern of=$dev bs=512 count=8 seek=$((NEW_SECTORS - 8)) oflag=direct conv=fsync status=none
    exit $failed
}

jobs=
for each in $DISKS; do
    disk "$each" &
    jobs="$jobs $!"
done
for job in $jobs; do
    wait "$job" || failed=1
done
finish
