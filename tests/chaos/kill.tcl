# kill.tcl ROUNDS CLIENTS ?SEED? - kill -9 of any node at any moment of a write load, ROUNDS times in a row.
#
# After each kill: writes resume within lease + 1 s. After all: every acknowledged write is there, none twice, and the
# replicas hold the same bytes. Prints a line a round and a summary; exit 1 if a promise was broken.
source [file join [file dirname [info script]] .. harness cluster.tcl]
source [file join [file dirname [info script]] campaign.tcl]

lassign $argv rounds clients seed
set lease_ms 2000
expr {srand([expr {$seed eq "" ? 1 : $seed}])}

campaign::run {
    cluster::create
    cluster::start
    campaign::schema
    set load [campaign::load_start $clients]
    set pauses {}
    for {set round 1} {$round <= $rounds} {incr round} {
        campaign::wait_acks $load 50
        after [expr {int(rand() * 400)}]
        # Every third time whoever it is; otherwise the leader, whose death is what hurts.
        set leader [cluster::wait_leader]
        set victim [expr {$round % 3 == 0 ? int(rand() * 3) + 1 : $leader}]
        cluster::kill $victim
        set at [campaign::mono_ms] ;# after it: what was acknowledged before is no sign of life
        set back [campaign::first_ack_after $load $at 20000]
        set pause [expr {$back - $at}]
        if {$victim == $leader} {
            lappend pauses $pause
        }
        puts [format "round %d: killed node %d (%s), writes again after %.0f ms" $round $victim \
            [expr {$victim == $leader ? "leader" : "follower"}] $pause]
        campaign::expect "writes resume within lease + 1 s" {$pause <= $lease_ms + 1000}
        cluster::start $victim
        campaign::wait_caught_up $victim
    }
    campaign::load_stop $load
    campaign::check_replicas
    set sorted [lsort -real $pauses]
    set median [lindex $sorted [expr {[llength $sorted] / 2}]]
    puts [format "leader killed %d times: pause median %.0f ms, max %.0f ms" [llength $sorted] $median [lindex $sorted end]]
    campaign::expect "median pause under 1.5 leases" {$median < 1.5 * $lease_ms}
}
