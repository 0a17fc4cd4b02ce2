/*
 * powerloss_journal.h - what libpowerloss.so writes down and powerloss-rollback reads: how to undo what
 * is not yet synced.
 *
 * The journal is a directory beside the data, on the same filesystem:
 *   f<inode>.undo  a struct undo_record with old bytes for every change of that file since its last sync
 *   d<inode>.ops   a line for every change of names in that directory since its last sync
 *   v<pid>.<n>     a second name of a file that lost its own by an unsynced unlink or rename
 * Everything is written before the change that it undoes; a torn end belongs to a change not made.
 */
#ifndef MRD_TESTS_FAULT_POWERLOSS_JOURNAL_H
#define MRD_TESTS_FAULT_POWERLOSS_JOURNAL_H

#include <stdint.h>

enum { UNDO_MAGIC = 0x4f444e55 };

/* Lines of an .ops file; names hold no '/', so that it divides. VICTIM is empty if nothing was there.
 *   create/NAME   mkdir/NAME   unlink/NAME/VICTIM   rename/FROM/TO/VICTIM */

struct undo_record {
    uint32_t magic;
    uint32_t
        old_len; /* bytes that follow: what stood at offset before; fewer than len past the end */
    uint64_t offset;   /* of the change */
    uint64_t len;      /* of the change; 0: only the size changed */
    uint64_t old_size; /* of the file */
};

#endif
