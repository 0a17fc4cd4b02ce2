/*
 * ast.h - a statement as it was written: the tree that the parser makes and the binder reads.
 *
 * Nothing here is resolved: names are names, a literal is what was spelled. Nodes live in the
 * statement's arena and are not changed after parsing; whoever keeps one past that arena keeps its text
 * (sql/deparse.h) instead. Every node has `pos`, the 1-based character position in the whole text that was
 * given to sql_parse(), for error messages; 0 is unknown. Names are folded to lower case and zero-terminated.
 * Lists are arrays: `items` and `n`; an absent list has n 0. Pure values; no threads.
 */
#ifndef MRD_SQL_AST_H
#define MRD_SQL_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sql/datum.h"

struct expr;
struct select_stmt;
struct from_item;

/* A name and where it stood. */
struct ident {
    const char *name;
    int pos;
};

struct ident_list {
    struct ident *items;
    size_t n;
};

struct expr_list {
    struct expr **items;
    size_t n;
};

/* catalog.schema.name; catalog and schema are NULL when not written. */
struct qual_name {
    const char *catalog;
    const char *schema;
    const char *name;
    int pos;
};

struct qual_name_list {
    struct qual_name *items;
    size_t n;
};

/* A type as written. SQL's spellings of several words are one name here: "double precision" is "float8",
 * "character varying" "varchar", "char" "bpchar" (with modifier 1 if none is written), "timestamp with time zone"
 * "timestamptz". See type_name_resolve() in sql/type_name.h. */
struct type_name {
    const char *schema; /* NULL, or "pg_catalog" */
    const char *name;
    struct expr_list mods; /* numeric(10,2): two integer literals */
    int array_dims;        /* int[] : 1 */
    bool setof;
    int pos;
};

/* ---- expressions ---- */

enum expr_kind {
    EXPR_CONST,     /* konst */
    EXPR_PARAM,     /* param: $n */
    EXPR_COLUMN,    /* column: a, t.a, s.t.a */
    EXPR_STAR,      /* column with n_names leading names: *, t.*, s.t.*; only in target lists */
    EXPR_OP,        /* op: left is NULL for a prefix operator */
    EXPR_AND,       /* list: two or more, flattened */
    EXPR_OR,        /* list */
    EXPR_NOT,       /* unary */
    EXPR_TEST,      /* test: IS [NOT] NULL | TRUE | FALSE | UNKNOWN */
    EXPR_DISTINCT,  /* binary: IS DISTINCT FROM; negated: IS NOT DISTINCT FROM */
    EXPR_BETWEEN,   /* between */
    EXPR_IN,        /* in: a list of expressions. IN (subquery) is EXPR_SUBQUERY */
    EXPR_LIKE,      /* like: LIKE, ILIKE, SIMILAR TO */
    EXPR_SUBQUERY,  /* subquery: scalar, EXISTS, IN, op ANY, op ALL, ARRAY */
    EXPR_ANY_ARRAY, /* any_array: x op ANY | ALL (array expression) */
    EXPR_CASE,      /* kase */
    EXPR_CAST,      /* cast: CAST(x AS t), x::t, t 'literal' */
    EXPR_FUNC,      /* func */
    EXPR_COALESCE,  /* list */
    EXPR_NULLIF,    /* list of two */
    EXPR_GREATEST,  /* list */
    EXPR_LEAST,     /* list */
    EXPR_ROW,       /* list: ROW(..) or (a, b) */
    EXPR_ARRAY,     /* list: ARRAY[..] */
    EXPR_SUBSCRIPT, /* subscript: x[i], x[i:j] */
    EXPR_FIELD,     /* field: (x).name; name NULL is (x).* */
    EXPR_COLLATE,   /* collate */
    EXPR_DEFAULT    /* the word DEFAULT: only in INSERT's VALUES and UPDATE's SET */
};

/* A literal as a datum: INT4 if it fits, then INT8, then NUMERIC; BOOL; UNKNOWN for strings and for NULL. */
struct expr_const {
    struct datum value;
};

enum { EXPR_COLUMN_NAMES_MAX = 4 };
struct expr_column {
    int n_names;
    const char *names[EXPR_COLUMN_NAMES_MAX]; /* outermost qualifier first, the column last */
};

struct expr_op {
    const char *schema; /* OPERATOR(pg_catalog.+): "pg_catalog"; else NULL */
    const char *name;   /* "=", "<>" (also for !=), "<=", "||", "+", "~" ... */
    struct expr *left;
    struct expr *right;
};

enum test_kind { TEST_NULL, TEST_TRUE, TEST_FALSE, TEST_UNKNOWN };

enum like_kind { LIKE_LIKE, LIKE_ILIKE, LIKE_SIMILAR };

enum subquery_kind {
    SUBQUERY_SCALAR,
    SUBQUERY_EXISTS,
    SUBQUERY_IN,  /* left [NOT] IN (select) */
    SUBQUERY_ANY, /* left op ANY (select) */
    SUBQUERY_ALL, /* left op ALL (select) */
    SUBQUERY_ARRAY
};

struct case_when {
    struct expr *when;
    struct expr *then;
};

enum func_form {
    FUNC_PLAIN, /* name(args) */
    FUNC_WORD,  /* CURRENT_TIMESTAMP, CURRENT_USER ...: no parentheses; args may hold a precision */
    FUNC_SQL /* EXTRACT(f FROM x), SUBSTRING(x FROM a), POSITION(a IN b), TRIM(...): special syntax, plain meaning */
};

struct sort_item; /* below */
struct sort_list {
    struct sort_item *items;
    size_t n;
};

/* OVER (...) or OVER name. */
struct window_def {
    const char *name; /* the window referred to, or NULL */
    struct expr_list partition_by;
    struct sort_list order_by;
    int pos;
};

/* EXTRACT(year FROM x) is func "extract" of ('year', x); SUBSTRING(x FROM a FOR b) "substring" of (x, a, b);
 * POSITION(a IN b) "position" of (b, a); TRIM(BOTH a FROM b) "btrim" of (b, a), "ltrim", "rtrim"; OVERLAY likewise. */
struct expr_func {
    const char *schema; /* NULL or as written */
    const char *name;
    struct expr_list args;
    enum func_form form;
    bool star;                 /* count(*) */
    bool distinct;             /* count(DISTINCT x) */
    bool variadic;             /* the last argument is VARIADIC */
    struct sort_list order_by; /* string_agg(x, y ORDER BY z) */
    bool within_group;         /* order_by came from WITHIN GROUP (ORDER BY ..) */
    struct expr *filter;       /* FILTER (WHERE ..), or NULL */
    struct window_def *over;   /* or NULL */
};

struct expr {
    enum expr_kind kind;
    int pos; /* where an error about the whole expression points to, as PostgreSQL: an operator's is its sign */
    int depth;      /* height of this tree; the parser bounds it, so that recursion on it is safe */
    bool in_parens; /* it stood in parentheses of its own: (a, b) is a row, ((a)) is a */
    union {
        struct expr_const konst;
        int param;
        struct expr_column column;
        struct expr_op op;
        struct expr_list list;
        struct expr *unary;
        struct {
            struct expr *arg;
            enum test_kind test;
            bool negated;
        } test;
        struct {
            struct expr *left;
            struct expr *right;
            bool negated;
        } binary;
        struct {
            struct expr *arg;
            struct expr *low;
            struct expr *high;
            bool negated;
            bool symmetric;
        } between;
        struct {
            struct expr *arg;
            struct expr_list list;
            bool negated;
        } in;
        struct {
            enum like_kind like;
            struct expr *arg;
            struct expr *pattern;
            struct expr *escape; /* or NULL */
            bool negated;
        } like;
        struct {
            enum subquery_kind sub;
            struct expr *left; /* IN, ANY, ALL; may be a row; else NULL */
            const char *op;    /* ANY, ALL: "=" ...; else NULL */
            bool negated;      /* NOT IN */
            struct select_stmt *select;
        } subquery;
        struct {
            struct expr *left;
            const char *op;
            bool all; /* ALL, else ANY */
            struct expr *array;
        } any_array;
        struct {
            struct expr *arg; /* CASE arg WHEN ..., or NULL */
            struct case_when *whens;
            size_t n_whens;
            struct expr *otherwise; /* or NULL */
        } kase;
        struct {
            struct expr *arg;
            struct type_name type;
        } cast;
        struct expr_func func;
        struct {
            struct expr *arg;
            struct expr *low; /* x[i]: low is i; x[i:j]: either may be NULL */
            struct expr *high;
            bool slice;
        } subscript;
        struct {
            struct expr *arg;
            const char *name;
        } field;
        struct {
            struct expr *arg;
            struct qual_name collation;
        } collate;
    };
};

/* ---- queries ---- */

/* A result column, or a RETURNING item. */
struct target {
    struct expr *expr; /* may be EXPR_STAR */
    const char *
        alias; /* NULL if none was written; see target_name() in sql/deparse.h for the name shown */
    int pos;
};

struct target_list {
    struct target *items;
    size_t n;
};

enum sort_nulls { NULLS_DEFAULT, NULLS_FIRST, NULLS_LAST };

struct sort_item {
    struct expr *expr; /* an integer literal is an ordinal */
    bool desc;
    enum sort_nulls nulls;
    const char *using_op; /* ORDER BY x USING <, or NULL */
};

/* alias(c1, c2) */
struct alias {
    const char *name; /* NULL if none */
    struct ident_list columns;
    int pos;
};

enum from_kind { FROM_TABLE, FROM_SUBQUERY, FROM_FUNC, FROM_JOIN };

enum join_kind { JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL, JOIN_CROSS };

struct from_item {
    enum from_kind kind;
    int pos;
    int depth;
    struct alias alias;
    union {
        struct {
            struct qual_name name;
            bool only;
        } table;
        struct {
            struct select_stmt *select; /* also VALUES */
            bool lateral;
        } subquery;
        struct {
            struct expr *call; /* EXPR_FUNC */
            bool lateral;
            bool ordinality;
        } func;
        struct {
            enum join_kind join;
            bool natural;
            struct from_item *left;
            struct from_item *right;
            struct expr *on; /* or NULL */
            struct ident_list using;
        } join;
    };
};

struct from_list {
    struct from_item **items;
    size_t n;
};

enum lock_strength { LOCK_KEY_SHARE, LOCK_SHARE, LOCK_NO_KEY_UPDATE, LOCK_UPDATE };
enum lock_wait { LOCK_BLOCK, LOCK_NOWAIT, LOCK_SKIP };

struct locking {
    enum lock_strength strength;
    enum lock_wait wait;
    struct qual_name_list of;
    int pos;
};

struct locking_list {
    struct locking *items;
    size_t n;
};

struct stmt; /* below */

struct cte {
    struct ident name;
    struct ident_list columns;
    struct stmt *stmt; /* SELECT, INSERT, UPDATE or DELETE */
    enum { CTE_DEFAULT, CTE_MATERIALIZED, CTE_NOT_MATERIALIZED } materialized;
};

struct with_clause {
    bool recursive;
    struct cte *items;
    size_t n; /* 0: no WITH */
    int pos;
};

enum select_kind { SELECT_PLAIN, SELECT_VALUES, SELECT_SETOP };
enum setop_kind { SETOP_UNION, SETOP_INTERSECT, SETOP_EXCEPT };
enum distinct_kind { DISTINCT_NO, DISTINCT_YES, DISTINCT_ON };

struct named_window {
    struct ident name;
    struct window_def *def;
};

struct select_stmt {
    enum select_kind kind;
    int pos;
    int depth;
    struct with_clause with;

    /* SELECT_PLAIN */
    enum distinct_kind distinct;
    struct expr_list distinct_on;
    struct target_list targets; /* may be empty: SELECT FROM t */
    struct from_list from;
    struct expr *as_of; /* AS OF SYSTEM TIME, or NULL */
    struct expr *where;
    bool group_distinct;
    struct expr_list group_by; /* integer literals are ordinals */
    struct expr *having;
    struct named_window *windows;
    size_t n_windows;

    /* SELECT_VALUES: n_rows lists, each checked to have the same length */
    struct expr_list *rows;
    size_t n_rows;

    /* SELECT_SETOP */
    enum setop_kind setop;
    bool setop_all;
    struct select_stmt *left;
    struct select_stmt *right;

    /* all kinds */
    struct sort_list order_by;
    struct expr *limit; /* NULL: none, or LIMIT ALL */
    struct expr *offset;
    bool with_ties; /* FETCH FIRST n ROWS WITH TIES */
    struct locking_list locking;
};

/* ---- data ---- */

/* SET a = expr; SET (a, b) = row: one item a column, with `row_index` into the shared source. */
struct set_item {
    struct ident column;
    struct expr
        *value; /* may be EXPR_DEFAULT; with row_width > 1: the shared EXPR_ROW or EXPR_SUBQUERY */
    int row_index; /* which field of the shared source; 0 otherwise */
    int row_width; /* 1: value belongs to this column alone */
};

struct set_list {
    struct set_item *items;
    size_t n;
};

enum conflict_action { CONFLICT_NONE, CONFLICT_NOTHING, CONFLICT_UPDATE };

struct on_conflict {
    enum conflict_action action;
    struct expr_list target; /* inferred from columns: EXPR_COLUMN each; n 0: not written */
    const char *constraint;  /* ON CONSTRAINT name, or NULL */
    struct expr *target_where;
    struct set_list set;
    struct expr *where;
    int pos;
};

struct insert_stmt {
    struct with_clause with;
    struct qual_name table;
    const char *alias; /* INSERT INTO t AS alias, or NULL */
    struct ident_list columns;
    struct select_stmt *source; /* NULL: DEFAULT VALUES. Its VALUES may hold EXPR_DEFAULT */
    struct on_conflict conflict;
    struct target_list returning;
};

struct update_stmt {
    struct with_clause with;
    struct qual_name table;
    const char *alias; /* or NULL */
    struct set_list set;
    struct from_list from;
    struct expr *where;
    struct target_list returning;
};

struct delete_stmt {
    struct with_clause with;
    struct qual_name table;
    const char *alias; /* or NULL */
    struct from_list using;
    struct expr *where;
    struct target_list returning;
};

/* ---- definition ---- */

enum column_constraint_kind {
    COLUMN_NOT_NULL,
    COLUMN_NULL,
    COLUMN_DEFAULT,
    COLUMN_PRIMARY_KEY,
    COLUMN_UNIQUE,
    COLUMN_CHECK,
    COLUMN_REFERENCES
};

struct column_constraint {
    enum column_constraint_kind kind;
    const char *name;           /* CONSTRAINT name, or NULL */
    struct expr *expr;          /* DEFAULT, CHECK */
    struct qual_name ref_table; /* REFERENCES */
    struct ident_list ref_columns;
    int pos;
};

struct column_def {
    struct ident name;
    struct type_name type;
    const char *collation; /* or NULL */
    struct column_constraint *constraints;
    size_t n_constraints;
};

enum table_constraint_kind { TABLE_PRIMARY_KEY, TABLE_UNIQUE, TABLE_CHECK, TABLE_FOREIGN_KEY };

struct table_constraint {
    enum table_constraint_kind kind;
    const char *name; /* or NULL */
    struct ident_list columns;
    struct expr *expr;          /* CHECK */
    struct qual_name ref_table; /* FOREIGN KEY */
    struct ident_list ref_columns;
    int pos;
};

struct create_table_stmt {
    struct qual_name table;
    bool if_not_exists;
    bool temporary;
    struct column_def *columns;
    size_t n_columns;
    struct table_constraint *constraints;
    size_t n_constraints;
    /* WITH (...) is checked for its form and forgotten. */
};

struct index_column {
    struct expr *expr; /* EXPR_COLUMN, or an expression */
    bool desc;
    enum sort_nulls nulls;
    int pos;
};

struct create_index_stmt {
    bool unique;
    bool concurrently;
    bool if_not_exists;
    const char *name; /* NULL: to be chosen */
    struct qual_name table;
    const char *method; /* USING btree, or NULL */
    struct index_column *columns;
    size_t n_columns;
    struct ident_list include;
    struct expr *where; /* partial index, or NULL */
    int pos;            /* of the name, or of the statement */
};

enum drop_kind { DROP_TABLE, DROP_INDEX, DROP_VIEW };

struct drop_stmt {
    enum drop_kind drop;
    bool if_exists;
    bool cascade;
    struct qual_name_list names;
};

struct truncate_stmt {
    struct qual_name_list tables;
    bool cascade;
    bool restart_identity;
};

enum alter_kind { ALTER_ADD_CONSTRAINT };

/* ALTER TABLE t action, ... */
struct alter_action {
    enum alter_kind kind;
    struct table_constraint constraint;
    int pos;
};

struct alter_table_stmt {
    struct qual_name table;
    bool if_exists;
    struct alter_action *actions;
    size_t n_actions;
};

/* ---- session ---- */

enum txn_kind {
    TXN_BEGIN,
    TXN_START,
    TXN_COMMIT,
    TXN_ROLLBACK,
    TXN_SAVEPOINT,
    TXN_RELEASE,
    TXN_ROLLBACK_TO
};

enum isolation {
    ISOLATION_UNSET,
    ISOLATION_READ_UNCOMMITTED,
    ISOLATION_READ_COMMITTED,
    ISOLATION_REPEATABLE_READ,
    ISOLATION_SERIALIZABLE
};
enum txn_access { ACCESS_UNSET, ACCESS_READ_ONLY, ACCESS_READ_WRITE };
enum txn_deferrable { DEFERRABLE_UNSET, DEFERRABLE_YES, DEFERRABLE_NO };

struct txn_modes {
    enum isolation isolation;
    enum txn_access access;
    enum txn_deferrable deferrable;
    struct expr *as_of; /* AS OF SYSTEM TIME expr, or NULL */
};

struct txn_stmt {
    enum txn_kind txn;
    struct txn_modes modes;
    const char *savepoint;
    bool chain; /* AND CHAIN */
};

enum set_scope { SET_SESSION, SET_LOCAL };
enum set_kind {
    SET_VALUE,           /* name = value, ... */
    SET_DEFAULT,         /* name = DEFAULT, RESET name */
    SET_RESET_ALL,       /* RESET ALL */
    SET_TRANSACTION,     /* SET TRANSACTION modes */
    SET_CHARACTERISTICS, /* SET SESSION CHARACTERISTICS AS TRANSACTION modes */
};

/* SET TIME ZONE x is SET timezone = x; SET NAMES x is client_encoding; SET SESSION AUTHORIZATION,
 * SET ROLE, SET SCHEMA likewise ("session_authorization", "role", "search_path"). */
struct set_stmt {
    enum set_kind set;
    enum set_scope scope;
    const char *name;        /* "timezone", "a.b" */
    struct expr_list values; /* EXPR_CONST each; a word is an UNKNOWN string, as in PostgreSQL */
    struct txn_modes modes;
};

struct show_stmt {
    const char *name; /* "timezone", "all", "tables", "cluster", "transaction_isolation" ... */
    const char *arg;  /* SHOW CLUSTER nodes: "nodes"; SHOW COLUMNS FROM t: "t"; else NULL */
};

struct prepare_stmt {
    struct ident name;
    struct type_name *types;
    size_t n_types;
    struct stmt *stmt;
};

struct execute_stmt {
    struct ident name;
    struct expr_list args;
};

struct explain_stmt {
    bool analyze;
    bool verbose;
    bool costs; /* on unless switched off */
    bool timing;
    bool summary;
    bool buffers;
    const char *format; /* "text" unless asked otherwise */
    struct stmt *stmt;
};

/* VACUUM, ANALYZE, CHECKPOINT, DISCARD: accepted for the sake of clients. */
enum maintenance_kind { MAINT_VACUUM, MAINT_ANALYZE, MAINT_CHECKPOINT, MAINT_DISCARD };

struct maintenance_stmt {
    enum maintenance_kind maint;
    bool analyze; /* VACUUM ANALYZE */
    struct qual_name_list tables;
    const char *discard; /* "all", "plans", "sequences", "temp" */
};

enum stmt_kind {
    STMT_SELECT, /* also VALUES, TABLE t */
    STMT_INSERT,
    STMT_UPDATE,
    STMT_DELETE,
    STMT_CREATE_TABLE,
    STMT_CREATE_INDEX,
    STMT_DROP,
    STMT_TRUNCATE,
    STMT_ALTER_TABLE,
    STMT_TXN,
    STMT_SET, /* also RESET */
    STMT_SHOW,
    STMT_PREPARE,
    STMT_EXECUTE,
    STMT_DEALLOCATE,
    STMT_EXPLAIN,
    STMT_MAINTENANCE
};

struct stmt {
    enum stmt_kind kind;
    int pos;      /* of its first token */
    size_t begin; /* byte range in the parsed text, without surrounding blanks and the semicolon */
    size_t len;
    int max_param; /* highest $n that occurs, 0 if none */
    union {
        struct select_stmt *select;
        struct insert_stmt *insert;
        struct update_stmt *update;
        struct delete_stmt *delete;
        struct create_table_stmt *create_table;
        struct create_index_stmt *create_index;
        struct drop_stmt *drop;
        struct truncate_stmt *truncate;
        struct alter_table_stmt *alter_table;
        struct txn_stmt *txn;
        struct set_stmt *set;
        struct show_stmt *show;
        struct prepare_stmt *prepare;
        struct execute_stmt *execute;
        struct ident deallocate; /* name NULL: ALL */
        struct explain_stmt *explain;
        struct maintenance_stmt *maintenance;
    };
};

struct stmt_list {
    struct stmt **items;
    size_t n;
};

#endif
