# run.tcl FILE.test ?tcltest options? - runs one test file and turns its result into an exit status.
#
# tcltest only prints its counts; here a failure, an error, and a file without a single test all fail. When a test
# failed, the file's cluster is kept with its logs.
package require tcltest 2.5
namespace import ::tcltest::test
set harness_dir [file dirname [file normalize [info script]]]
source [file join $harness_dir cluster.tcl]

namespace eval harness {
    variable counts
    array set counts {Total 0 Passed 0 Skipped 0 Failed 0}
}

# cleanupTests resets the counts after printing them: they are taken before.
rename ::tcltest::cleanupTests ::tcltest::cleanup_tests
proc ::tcltest::cleanupTests {args} {
    foreach name {Total Passed Skipped Failed} {
        incr ::harness::counts($name) $::tcltest::numTests($name)
    }
    uplevel 1 ::tcltest::cleanup_tests $args
}

# One line of what a connection of the driver says, with the SQLSTATE, for expectations of errors.
proc harness::sqlstate {body} {
    if {[catch {uplevel 1 $body} message options]} {
        return [lindex [dict get $options -errorcode] 1]
    }
    return ok
}

# Runs a command; returns its exit code and what it printed, both streams, without trailing line ends.
proc harness::command {args} {
    set code 0
    if {[catch {exec -ignorestderr {*}$args 2>@1} out options]} {
        set why [dict get $options -errorcode]
        set code [expr {[lindex $why 0] eq "CHILDSTATUS" ? [lindex $why 2] : 255}]
        regsub {\n?child process exited abnormally$} $out "" out
    }
    return [list $code $out]
}

proc harness::main {argv} {
    variable counts
    set ::argv [lassign $argv file]
    ::tcltest::configure {*}$::argv -singleproc 1
    set broken [catch {uplevel #0 [list source $file]} message options]
    if {$broken} {
        puts "ERROR in $file: $message\n[dict get $options -errorinfo]"
    }
    ::tcltest::cleanupTests
    puts "SUMMARY file=[file tail $file] total=$counts(Total) passed=$counts(Passed) skipped=$counts(Skipped) failed=$counts(Failed)"
    foreach line [cluster::complaints] {
        puts "COMPLAINT $line"
        set broken 1
    }
    set bad [expr {$broken || $counts(Failed) > 0 || $counts(Total) == 0}]
    if {[catch {cluster::destroy -keep $bad} message]} {
        puts "cluster: $message"
        set bad 1
    }
    exit $bad
}
harness::main $argv
