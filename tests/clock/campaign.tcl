# campaign.tcl ROUNDS ?SEED? - clocks that lie, one node at a time, ROUNDS times, under clients that keep a history.
#
# Any node, any lie: an offset between 1 ms and 10 s either way, a drift of up to 5,000 ppm, steps to and fro, void time, a wide
# bound. Now and then the node sleeps past its lease when the lie begins, so that it wakes with leases that its clock still
# believes; or it is killed and started while it lies. Lies that contradict the others have to be found within 2 s. Each
# round's history is judged; the replicas are compared at the end.
set here [file dirname [info script]]
source [file join $here .. harness cluster.tcl]
source [file join $here .. chaos campaign.tcl]
source [file join $here clock.tcl]

lassign $argv rounds seed
expr {srand([expr {$seed eq "" ? 1 : $seed}])}

proc pick {args} {
    return [lindex $args [expr {int(rand() * [llength $args])}]]
}

# A lie as words that take turns, and whether others can tell.
proc random_lie {} {
    set sign [pick "" -]
    set us [expr {int(pow(10, 3 + 4 * rand()))}]
    return [pick [list [list offset=$sign$us] 1] \
        [list [list rate=$sign[expr {1000 + int(rand() * 4000)}]] 1] \
        [list [list offset=$us offset=-$us offset=[expr {$us / 3}]] 1] \
        {void 0} [list [list bound=[expr {int(rand() * 200000)}]] 0]]
}

campaign::run {
    cluster::create -flags $clock::flags
    cluster::start
    cluster::wait_writable
    set times {}
    for {set round 1} {$round <= $rounds} {incr round} {
        set leader [cluster::wait_leader]
        set node [expr {rand() < 0.6 ? $leader : int(rand() * 3) + 1}]
        lassign [random_lie] words visible
        clock::record 6 $round
        cluster::wait "a load" 20000 {expr {[clock::count_acks] > 50}}
        set sleeps [expr {rand() < 0.3}]
        if {$sleeps} {
            cluster::signal $node STOP
        }
        clock::lie $node {*}[lindex $words 0]
        if {$sleeps} {
            after [expr {1900 + int(rand() * 1500)}]
            cluster::signal $node CONT
        }
        if {$visible} {
            lappend times [clock::wait_distrusted $node 10000 $words]
            campaign::expect "$words of node $node found within 2 s" {[lindex $times end] <= 2000}
        }
        if {rand() < 0.2} {
            cluster::kill $node
            cluster::start $node
        }
        clock::keep_lying $node $words [expr {int(rand() * 3000)}]
        if {$words ne "void" && ![string match bound=* $words]} {
            clock::first_ack_after [clock::mono] 20000
        }
        clock::lie $node
        clock::wait_trusted $node 15000
        clock::first_ack_after [clock::mono] 20000
        set v [clock::judge]
        puts "round $round: node $node ([expr {$node == $leader ? "leader" : "follower"}])[expr {$sleeps ? ", asleep" : ""}]: $words: [expr {$visible ? "found after [lindex $times end] ms" : ""}]"
        campaign::expect "the history can have happened" {[dict get $v violations] == 0}
        campaign::expect "each operation ended with a SQLSTATE" {[dict get $v unexplained] == 0}
    }
    campaign::check_replicas
    puts "found after (ms): [lsort -integer $times]"
}
