# power.tcl ROUNDS CLIENTS ?SEED? ?nosync? - the power goes on all nodes at once, in the middle of a write load.
#
# Each node runs under tests/fault/libpowerloss.so. A round: load, kill -9 of every node, every write that was not
# synced is undone (or, by the seed, partly kept, or torn between sectors), restart; every acknowledged write must be there.
# With `nosync` the nodes are told never to sync: the campaign then passes only if it finds acknowledged writes lost.
source [file join [file dirname [info script]] .. harness cluster.tcl]
source [file join [file dirname [info script]] campaign.tcl]

lassign $argv rounds clients seed nosync
set seed [expr {$seed eq "" ? 1 : $seed}]
expr {srand($seed)}
set flags {--checkpoint 1s --cache 64MB}
if {$nosync eq "nosync"} {
    lappend flags --no-sync
}

# The power goes: nothing that was not synced is left.
proc power_off {seed} {
    foreach i [cluster::nodes] {
        cluster::signal $i KILL
    }
    foreach i [cluster::nodes] {
        cluster::reap $i
        set how [expr {$seed % 3 == 0 ? {} : [list --seed [expr {$seed * 10 + $i}]]}]
        exec $::env(FAULT_BIN)/powerloss-rollback [cluster::dir $i] [cluster::dir $i].journal {*}$how >@stdout
    }
}

# What went wrong, or nothing.
proc start_after_loss {} {
    if {[catch {cluster::start; cluster::wait_writable 30000} message]} {
        return $message
    }
    return ""
}

# A disk that lost what was promised shows it in one of two ways: the store says that it is damaged, or it starts without.
proc says_damaged {} {
    foreach i [cluster::nodes] {
        if {![catch {exec grep -aE {XX001|damaged|status=fatal} [cluster::log $i]}]} {
            return 1
        }
    }
    return 0
}

campaign::run {
    cluster::create -flags $flags -env [list LD_PRELOAD $::env(FAULT_BIN)/libpowerloss.so POWERLOSS_DIR %d \
        POWERLOSS_JOURNAL %d.journal]
    cluster::start
    campaign::schema
    set lost 0
    for {set round 1} {$round <= $rounds && !$lost} {incr round} {
        set load [campaign::load_start $clients]
        campaign::wait_acks $load 100
        after [expr {int(rand() * 2000)}]
        power_off [expr {$seed * 1000 + $round}]
        set trouble [start_after_loss]
        if {$nosync eq "nosync"} {
            set lost [expr {$trouble ne "" ? [says_damaged] : [campaign::load_lost $load]}]
            puts "round $round: [expr {$lost ? "acknowledged writes are gone: $trouble" : "nothing lost yet"}]"
            continue
        }
        if {$trouble ne ""} {
            error $trouble
        }
        campaign::wait_acks $load 20
        campaign::load_stop $load
        puts "round $round: power lost on all nodes; everything acknowledged is there"
    }
    if {$nosync eq "nosync"} {
        campaign::expect "nodes that never sync lose acknowledged writes" {$lost}
    } else {
        campaign::check_replicas
    }
}
