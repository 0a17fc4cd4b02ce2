/*
 * mrd_tcl.c - the Tcl package `mrd`: libmeridian for tests and scripts.
 *
 *   set c [mrd::connect URL]        a command for the connection
 *   $c rows SQL ?VALUE ...?         all rows, a list of lists
 *   $c dicts SQL ?VALUE ...?        all rows, a list of dicts
 *   $c run SQL ?VALUE ...?          rows affected by the (last) statement
 *   $c transaction SCRIPT           BEGIN, SCRIPT, COMMIT; again while the server asks for it
 *   $c columns | tag                names, and the command tag, of the last result
 *   $c state | host | port          idle, transaction or failed; where it is connected
 *   $c commit_timestamp             of the last commit that wrote, ns since 1970
 *   $c null ?TEXT?                  how NULL is given back (NULL)
 *   $c reconnect | close
 *
 * An error's code is {MRD SQLSTATE STATUS POSITION}, STATUS being retry, unknown, lost, error or misuse. The
 * interpreter's thread owns its connections.
 */
#include <stdlib.h>
#include <string.h>
#include <tcl.h>

#include "meridian.h"

struct handle {
    struct mrd_conn *conn;
    Tcl_Obj *null_text, *columns, *tag; /* each holds a reference */
};

enum { VALUES_MAX = 256 };

static void set_obj(Tcl_Obj **at, Tcl_Obj *to)
{
    Tcl_IncrRefCount(to);
    if (*at != NULL)
        Tcl_DecrRefCount(*at);
    *at = to;
}

static Tcl_Obj *str(const char *s)
{
    return Tcl_NewStringObj(s == NULL ? "" : s, -1);
}

static const char *status_text(enum mrd_status st)
{
    switch (st) {
    case MRD_OK:
    case MRD_DONE:
        break;
    case MRD_RETRY:
        return "retry";
    case MRD_UNKNOWN:
        return "unknown";
    case MRD_LOST:
        return "lost";
    case MRD_ERROR:
        return "error";
    case MRD_MISUSE:
        return "misuse";
    }
    return "ok";
}

static int fail(Tcl_Interp *ip, const struct mrd_error *e)
{
    Tcl_Obj *code[] = {str("MRD"), str(e->sqlstate), str(status_text(e->status)),
                       Tcl_NewIntObj(e->position)};

    Tcl_SetObjErrorCode(ip, Tcl_NewListObj(4, code));
    Tcl_SetObjResult(ip, str(e->message));
    return TCL_ERROR;
}

static int take_values(Tcl_Interp *ip, int objc, Tcl_Obj *const objv[], struct mrd_value *values)
{
    if (objc > VALUES_MAX) {
        Tcl_SetObjResult(ip, str("too many values"));
        return TCL_ERROR;
    }
    for (int i = 0; i < objc; i++)
        values[i] = mrd_text(Tcl_GetString(objv[i]));
    return TCL_OK;
}

static Tcl_Obj *cell(const struct handle *h, struct mrd_rows *rows, size_t i)
{
    return mrd_is_null(rows, i) ? h->null_text : str(mrd_get_text(rows, i));
}

static Tcl_Obj *one_row(const struct handle *h, struct mrd_rows *rows)
{
    Tcl_Obj *row = Tcl_NewListObj(0, NULL);

    for (size_t i = 0; i < mrd_columns(rows); i++)
        Tcl_ListObjAppendElement(NULL, row, cell(h, rows, i));
    return row;
}

static Tcl_Obj *one_dict(const struct handle *h, struct mrd_rows *rows)
{
    Tcl_Obj *row = Tcl_NewDictObj();

    for (size_t i = 0; i < mrd_columns(rows); i++)
        Tcl_DictObjPut(NULL, row, str(mrd_column_name(rows, i)), cell(h, rows, i));
    return row;
}

static void note_result(struct handle *h, struct mrd_rows *rows)
{
    Tcl_Obj *names = Tcl_NewListObj(0, NULL);

    for (size_t i = 0; i < mrd_columns(rows); i++)
        Tcl_ListObjAppendElement(NULL, names, str(mrd_column_name(rows, i)));
    set_obj(&h->columns, names);
    set_obj(&h->tag, str(mrd_command(rows)));
}

/* Of several statements the last result counts, unless one fails. */
static enum mrd_status collect(struct handle *h, struct mrd_rows *rows, bool dicts, Tcl_Obj **out)
{
    enum mrd_status st;

    do {
        set_obj(out, Tcl_NewListObj(0, NULL));
        note_result(h, rows);
        while ((st = mrd_next(rows)) == MRD_OK)
            Tcl_ListObjAppendElement(NULL, *out, dicts ? one_dict(h, rows) : one_row(h, rows));
        if (st == MRD_DONE)
            st = mrd_next_result(rows);
    } while (st == MRD_OK);
    return st;
}

static int do_query(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[], bool dicts)
{
    struct mrd_value values[VALUES_MAX];
    struct mrd_rows *rows = NULL;
    Tcl_Obj *result = NULL;
    enum mrd_status st;

    if (take_values(ip, objc - 1, objv + 1, values) != TCL_OK)
        return TCL_ERROR;
    st = objc == 1
             ? mrd_query(h->conn, Tcl_GetString(objv[0]), &rows)
             : mrd_query_values(h->conn, Tcl_GetString(objv[0]), values, (size_t)objc - 1, &rows);
    if (st == MRD_OK)
        st = collect(h, rows, dicts, &result);
    mrd_rows_close(rows);
    if (st == MRD_DONE)
        Tcl_SetObjResult(ip, result);
    if (result != NULL)
        Tcl_DecrRefCount(result);
    return st == MRD_DONE ? TCL_OK : fail(ip, mrd_error(h->conn));
}

static int do_rows(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    return do_query(h, ip, objc, objv, false);
}

static int do_dicts(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    return do_query(h, ip, objc, objv, true);
}

static int do_run(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    struct mrd_value values[VALUES_MAX];
    int64_t affected = 0;
    enum mrd_status st;

    if (take_values(ip, objc - 1, objv + 1, values) != TCL_OK)
        return TCL_ERROR;
    st = objc == 1
             ? mrd_run(h->conn, Tcl_GetString(objv[0]), &affected)
             : mrd_run_values(h->conn, Tcl_GetString(objv[0]), values, (size_t)objc - 1, &affected);
    if (st != MRD_OK)
        return fail(ip, mrd_error(h->conn));
    Tcl_SetObjResult(ip, Tcl_NewWideIntObj(affected));
    return TCL_OK;
}

/* What mrd_transaction runs: the script, in the interpreter. */
struct script {
    Tcl_Interp *ip;
    Tcl_Obj *body;
    int code;
};

static enum mrd_status script_status(Tcl_Interp *ip)
{
    static const struct {
        const char *name;
        enum mrd_status st;
    } names[] = {{"retry", MRD_RETRY}, {"unknown", MRD_UNKNOWN}, {"lost", MRD_LOST}};
    Tcl_Obj *code = Tcl_GetVar2Ex(ip, "errorCode", NULL, TCL_GLOBAL_ONLY), *word = NULL;

    if (code == NULL || Tcl_ListObjIndex(NULL, code, 2, &word) != TCL_OK || word == NULL)
        return MRD_ERROR;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(Tcl_GetString(word), names[i].name) == 0)
            return names[i].st;
    return MRD_ERROR;
}

static enum mrd_status run_script(struct mrd_conn *c, void *arg)
{
    struct script *s = arg;

    (void)c;
    s->code = Tcl_EvalObjEx(s->ip, s->body, 0);
    return s->code == TCL_ERROR ? script_status(s->ip) : MRD_OK;
}

static int do_transaction(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    struct script s = {.ip = ip, .body = objv[0]};
    enum mrd_status st;

    (void)objc;
    st = mrd_transaction(h->conn, NULL, run_script, &s);
    if (st != MRD_OK && s.code != TCL_ERROR)
        return fail(ip, mrd_error(h->conn)); /* BEGIN or COMMIT failed, not the script */
    return s.code;
}

static int do_columns(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    (void)objc;
    (void)objv;
    Tcl_SetObjResult(ip, h->columns);
    return TCL_OK;
}

static int do_tag(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    (void)objc;
    (void)objv;
    Tcl_SetObjResult(ip, h->tag);
    return TCL_OK;
}

static int do_state(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    static const char *const names[] = {[MRD_IDLE] = "idle",
                                        [MRD_IN_TRANSACTION] = "transaction",
                                        [MRD_FAILED_TRANSACTION] = "failed"};

    (void)objc;
    (void)objv;
    Tcl_SetObjResult(ip, str(names[mrd_txn_state(h->conn)]));
    return TCL_OK;
}

static int do_host(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    (void)objc;
    (void)objv;
    Tcl_SetObjResult(ip, str(mrd_host(h->conn)));
    return TCL_OK;
}

static int do_port(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    (void)objc;
    (void)objv;
    Tcl_SetObjResult(ip, str(mrd_port(h->conn)));
    return TCL_OK;
}

static int do_commit_timestamp(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    int64_t ts = 0;

    (void)objc;
    (void)objv;
    if (mrd_commit_timestamp(h->conn, &ts) != MRD_OK)
        return fail(ip, mrd_error(h->conn));
    Tcl_SetObjResult(ip, Tcl_NewWideIntObj(ts));
    return TCL_OK;
}

static int do_null(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    if (objc == 1)
        set_obj(&h->null_text, objv[0]);
    Tcl_SetObjResult(ip, h->null_text);
    return TCL_OK;
}

static int do_reconnect(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    (void)objc;
    (void)objv;
    return mrd_reconnect(h->conn) == MRD_OK ? TCL_OK : fail(ip, mrd_error(h->conn));
}

struct verb {
    const char *name;
    int min, max; /* arguments */
    const char *args;
    int (*run)(struct handle *h, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[]);
};
static const struct verb verbs[] = {
    {"rows", 1, VALUES_MAX, "sql ?value ...?", do_rows},
    {"dicts", 1, VALUES_MAX, "sql ?value ...?", do_dicts},
    {"run", 1, VALUES_MAX, "sql ?value ...?", do_run},
    {"transaction", 1, 1, "script", do_transaction},
    {"columns", 0, 0, "", do_columns},
    {"tag", 0, 0, "", do_tag},
    {"state", 0, 0, "", do_state},
    {"host", 0, 0, "", do_host},
    {"port", 0, 0, "", do_port},
    {"commit_timestamp", 0, 0, "", do_commit_timestamp},
    {"null", 0, 1, "?text?", do_null},
    {"reconnect", 0, 0, "", do_reconnect},
    {"close", 0, 0, "", NULL},
    {NULL, 0, 0, NULL, NULL},
};

static int conn_command(ClientData data, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    struct handle *h = data;
    int i = 0;

    if (objc < 2) {
        Tcl_WrongNumArgs(ip, 1, objv, "verb ?arg ...?");
        return TCL_ERROR;
    }
    if (Tcl_GetIndexFromObjStruct(ip, objv[1], verbs, sizeof verbs[0], "verb", TCL_EXACT, &i) !=
        TCL_OK)
        return TCL_ERROR;
    if (objc - 2 < verbs[i].min || objc - 2 > verbs[i].max) {
        Tcl_WrongNumArgs(ip, 2, objv, verbs[i].args);
        return TCL_ERROR;
    }
    if (verbs[i].run != NULL)
        return verbs[i].run(h, ip, objc - 2, objv + 2);
    return Tcl_DeleteCommand(ip, Tcl_GetString(objv[0])) == 0 ? TCL_OK : TCL_ERROR;
}

static void conn_deleted(ClientData data)
{
    struct handle *h = data;

    mrd_close(h->conn);
    Tcl_DecrRefCount(h->null_text);
    Tcl_DecrRefCount(h->columns);
    Tcl_DecrRefCount(h->tag);
    ckfree((char *)h);
}

static int connect_command(ClientData data, Tcl_Interp *ip, int objc, Tcl_Obj *const objv[])
{
    unsigned long *n_made = data;
    struct mrd_conn *conn = NULL;
    struct mrd_error err = {0};
    struct handle *h;
    Tcl_Obj *name;

    if (objc != 2) {
        Tcl_WrongNumArgs(ip, 1, objv, "url");
        return TCL_ERROR;
    }
    if (mrd_connect(Tcl_GetString(objv[1]), &conn, &err) != MRD_OK)
        return fail(ip, &err);
    h = (struct handle *)ckalloc(sizeof *h);
    memset(h, 0, sizeof *h);
    h->conn = conn;
    set_obj(&h->null_text, str("NULL"));
    set_obj(&h->columns, Tcl_NewListObj(0, NULL));
    set_obj(&h->tag, str(""));
    name = Tcl_ObjPrintf("::mrd::conn%lu", ++*n_made);
    Tcl_CreateObjCommand(ip, Tcl_GetString(name), conn_command, h, conn_deleted);
    Tcl_SetObjResult(ip, name);
    return TCL_OK;
}

static void count_deleted(ClientData data)
{
    ckfree((char *)data);
}

/* Tcl looks it up by this name. */
int Mrd_Init(Tcl_Interp *ip);

int Mrd_Init(Tcl_Interp *ip)
{
    unsigned long *n_made;

    if (Tcl_InitStubs(ip, "8.6", 0) == NULL)
        return TCL_ERROR;
    n_made = (unsigned long *)ckalloc(sizeof *n_made);
    *n_made = 0;
    Tcl_CreateNamespace(ip, "::mrd", NULL, NULL);
    Tcl_CreateObjCommand(ip, "::mrd::connect", connect_command, n_made, count_deleted);
    return Tcl_PkgProvide(ip, "mrd", MRD_VERSION);
}
