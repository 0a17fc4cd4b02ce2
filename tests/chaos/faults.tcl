# faults.tcl ROUNDS CLIENTS SEED ?CASE ...? - what networks and disks do to a cluster that clients write to.
#
# Each round puts every case (all of them, or those named) on the node that leads, then takes it away:
#
#   cut cut_out cut_in    the leader reaches nobody, only hears, is only heard (the transport's fault layer)
#   part                  the leader and one follower do not reach each other; the third reaches both
#   kernel kernel_out     the same as cut and cut_out, by the kernel: network namespaces (if they may be made)
#   loss delay            10% of all messages are lost; every message takes 100 ms longer
#   slow_disk             every sync of the leader's disk takes 200 ms
#   bad_disk              every sync of the leader's disk fails: the process must end, with 70
#   full_disk             the leader's disk, a small tmpfs, is full (if one may be mounted)
#
# While a majority is well, writes are acknowledged again within lease + 2 s, and from then on. At the end the history of
# the clients is linearizable, no acknowledged write is lost, and the replicas hold the same bytes.
# Environment: BIN, CHAOS_BIN, CLOCK_BIN, FAULT_BIN.
source [file join [file dirname [info script]] .. harness cluster.tcl]
source [file join [file dirname [info script]] .. clock clock.tcl]
source [file join [file dirname [info script]] campaign.tcl]

set lease_ms 2000
set hold_ms 4000
set network {cut cut_out cut_in part loss delay}
set disk {slow_disk bad_disk}
set kernel {kernel kernel_out}
set deposes {cut cut_out cut_in kernel kernel_out full_disk} ;# whoever led does not any more; bad_disk ends it

# Being root is not enough: a container may forbid either.
proc may_make_namespaces {} {
    set name mrd-probe-[pid]
    set ok [expr {![catch {exec ip netns add $name}] && ![catch {exec ip -n $name link add veth-probe type veth peer name veth-peer}]}]
    catch {exec ip netns del $name}
    return $ok
}

proc may_mount {} {
    set dir [exec mktemp -d]
    set ok [expr {![catch {exec mount -t tmpfs -o size=1m mrd-test $dir}]}]
    catch {exec umount $dir}
    file delete $dir
    return $ok
}

proc others {i} {
    return [lmap j [cluster::nodes] {if {$j == $i} continue; set j}]
}

proc put {path text} {
    set f [open $path.new w]
    puts -nonewline $f $text
    close $f
    file rename -force $path.new $path
}

proc net_seen {i} { return [expr {[catch {exec grep -ac { net\.fault } [cluster::log $i]} n] ? 0 : $n}] }

# Until the node has taken it up.
proc net {i lines} {
    set path [cluster::root]/net.$i
    if {[file exists $path] && [exec cat $path] eq [join $lines \n]} {
        return
    }
    set n [net_seen $i]
    put $path [join $lines \n]
    cluster::wait "node $i to take up its network's faults" 5000 {expr {[net_seen $i] > $n}}
}
proc net_all {lines} { foreach i [cluster::nodes] { if {$lines ne "" || [file exists [cluster::root]/net.$i]} { net $i $lines } } }

# ---- the cases: on NODE, then off again ----

proc cut_on {node} { cut_out_on $node; cut_in_on $node }
proc cut_off {node} { net_all {} }
proc cut_out_on {node} { net $node {"0 cut"} }
proc cut_out_off {node} { net_all {} }
proc cut_in_on {node} { foreach j [others $node] { net $j [list "$node cut"] } }
proc cut_in_off {node} { net_all {} }
proc part_on {node} {
    set other [lindex [others $node] 0]
    net $node [list "$other cut"]
    net $other [list "$node cut"]
}
proc part_off {node} { net_all {} }
proc loss_on {node} { net_all {"0 drop=0.1"} }
proc loss_off {node} { net_all {} }
proc delay_on {node} { net_all {"0 delay=100ms"} }
proc delay_off {node} { net_all {} }
proc kernel_on {node} { foreach j [others $node] { cluster::blackhole $node $j 1; cluster::blackhole $j $node 1 } }
proc kernel_off {node} { foreach j [others $node] { cluster::blackhole $node $j 0; cluster::blackhole $j $node 0 } }
proc kernel_out_on {node} { foreach j [others $node] { cluster::blackhole $node $j 1 } }
proc kernel_out_off {node} { foreach j [others $node] { cluster::blackhole $node $j 0 } }
proc slow_disk_on {node} { put [cluster::root]/disk.$node 200 }
proc slow_disk_off {node} { file delete [cluster::root]/disk.$node }
proc bad_disk_on {node} { put [cluster::root]/disk.$node fail }
proc bad_disk_off {node} {
    file delete [cluster::root]/disk.$node
    cluster::wait "node $node to end" 10000 {expr {![cluster::alive $node]}}
    set code [cluster::reap $node]
    campaign::expect "a failed sync ends the process with 70, not $code" {$code == 70}
    cluster::start $node
}
proc full_disk_on {node} { catch {exec dd if=/dev/zero of=[cluster::dir $node]/filler bs=64k} }
proc full_disk_off {node} { file delete [cluster::dir $node]/filler }

# A tmpfs below each node's data, so that one can be filled.
proc mount_disks {} {
    foreach i [cluster::nodes] {
        exec mount -t tmpfs -o size=160m mrd-test [cluster::dir $i]
    }
}
proc unmount_disks {} {
    foreach i [cluster::nodes] {
        catch {exec umount [cluster::dir $i]}
    }
}

# ---- a round ----

proc suffer {case} {
    upvar #0 lease_ms lease_ms hold_ms hold_ms deposes deposes
    set node [cluster::wait_leader]
    ${case}_on $node
    set at [clock::mono]
    set first [clock::first_ack_after $at 30000]
    set pause [expr {($first - $at) / 1e6}]
    after $hold_ms
    set still [clock::mono]
    set again [clock::first_ack_after $still 30000]
    if {$case in $deposes} {
        campaign::expect "$case: another node leads meanwhile" {[cluster::wait_leader] != $node}
    }
    ${case}_off $node
    puts [format "%-10s on node %d: writes again after %.0f ms; %.0f ms later the next took %.0f ms" $case $node $pause \
        $hold_ms [expr {($again - $still) / 1e6}]]
    campaign::expect "$case: writes again within lease + 2 s" {$pause <= $lease_ms + 2000}
    campaign::expect "$case: and from then on" {($again - $still) / 1e6 <= $lease_ms + 2000}
    campaign::wait_caught_up $node
}

proc play {cases rounds clients seed} {
    cluster::start
    cluster::wait_writable
    clock::record $clients $seed
    for {set round 1} {$round <= $rounds} {incr round} {
        foreach case $cases {
            suffer $case
        }
    }
    set verdict [clock::judge]
    campaign::expect "the history can have happened" {[dict get $verdict violations] == 0}
    campaign::check_replicas
    campaign::expect "no complaints" {[cluster::complaints] eq ""}
    foreach i [cluster::nodes] {
        cluster::stop $i
    }
}

# Cases that want the same kind of nodes share a cluster and a history.
proc stage {cases rounds clients seed options before after} {
    if {$cases eq ""} {
        return
    }
    cluster::create {*}$options
    {*}$before
    set failed [catch {play $cases $rounds $clients $seed} message trouble]
    if {$failed} {
        foreach i [cluster::nodes] {
            catch {cluster::kill $i}
        }
    }
    {*}$after
    if {$failed} {
        return -options $trouble $message
    }
    cluster::destroy -keep $campaign::broken
}

lassign $argv rounds clients seed
set wanted [lrange $argv 3 end]
if {$wanted eq ""} {
    set wanted [concat $network $kernel $disk full_disk]
}
foreach {cases may} {{kernel kernel_out} may_make_namespaces full_disk may_mount} {
    if {[lmap c $wanted {if {$c ni $cases} continue; set c}] ne "" && ![$may]} {
        puts "left out, for it may not be done here: $cases"
        set wanted [lmap c $wanted {if {$c in $cases} continue; set c}]
    }
}
proc among {all} { return [lmap c $::wanted {if {$c ni $all} continue; set c}] }

campaign::run {
    set net {--net-fault %r/net.%n}
    stage [among $network] $rounds $clients $seed [list -flags $net] {} {}
    stage [among $kernel] $rounds $clients $seed {-namespaces 1} {} {}
    stage [among $disk] $rounds $clients $seed \
        [list -env [list LD_PRELOAD $::env(FAULT_BIN)/libslowdisk.so SLOWDISK_CONTROL %r/disk.%n]] {} {}
    stage [among full_disk] $rounds $clients $seed {-flags {--cache 32MB --checkpoint 1s}} mount_disks unmount_disks
}
