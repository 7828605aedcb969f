# Writes that are verified afterwards, on every disk of DISKS at once, for as long as their daemons are restarted.

load() {
    # Writes that meet on a sector would leave either; what was written last has to be there.
    fio --name=load --filename="/dev/$1" --size=24M --rw=randwrite --bsrange=4k-16k --ioengine=libaio --iodepth=16 --direct=1 \
        --serialize_overlap=1 --time_based --runtime="$SECONDS_OF_LOAD" --fsync=128 \
        --verify=crc32c --verify_state_save=0 --minimal --output="/tmp/$1.fio"
}

jobs=
for each in $DISKS; do
    check "$each is there" [ -b "/dev/$each" ]
    load "$each" &
    jobs="$jobs $!"
done
echo "LOAD"
sleep "$SECONDS_OF_LOAD"
echo "VERIFY"
for job in $jobs; do
    check "load and verification" wait "$job"
done
finish
