/*
 * bind.h - from names to meaning: a statement's tree becomes queries over numbered slots.
 *
 * A struct query is one block: SELECT, VALUES or a set operation. It has one frame; each relation of its
 * FROM owns a run of slots, the grouping and the targets others. Everything lives in the statement's arena
 * and refers to the catalog snapshot that it was bound to. Errors are PostgreSQL's, with position.
 * Pure functions over their arguments; no threads.
 */
#ifndef MRD_SQL_BIND_H
#define MRD_SQL_BIND_H

#include "sql/catalog.h"
#include "sql/expr.h"

enum { BIND_RTES_MAX = 64, BIND_PARAMS_MAX = 65535, BIND_LEVELS_MAX = 64 };

enum rte_kind { RTE_TABLE, RTE_QUERY, RTE_SERIES, RTE_VIRTUAL };

/* One relation of a FROM clause. */
struct rte {
    enum rte_kind kind;
    const char *alias; /* as other parts of the query call it */
    int pos;
    unsigned slot; /* its first slot in the block's frame */
    size_t n_columns;
    const char **names;
    enum sql_type *types;
    int32_t *typmods;
    bool *want;                       /* columns that anybody looks at; TABLE and VIRTUAL */
    const struct table *table;        /* TABLE */
    const struct virtual_table *virt; /* VIRTUAL */
    struct query *query;              /* QUERY */
    struct bx *args[3];               /* SERIES: generate_series(a, b[, step]) */
    uint64_t deps;                    /* LATERAL: relations of this block that must come first */
    enum txn_lock lock; /* FOR UPDATE, FOR SHARE: stronger than the statement's own; else NONE */
};

enum jtree_kind { JTREE_RTE, JTREE_INNER, JTREE_LEFT, JTREE_FULL };

/* FROM as a tree. INNER joins any number of parts; the conditions of all of them stand in `conds`. */
struct jtree {
    enum jtree_kind kind;
    unsigned rte;         /* RTE */
    struct jtree **parts; /* INNER: n; LEFT and FULL: 2 */
    size_t n_parts;
    struct bx **conds;
    size_t n_conds;
};

struct order_item {
    unsigned target; /* index into targets */
    bool desc;
    bool nulls_first;
};

enum query_kind { QUERY_SELECT, QUERY_VALUES, QUERY_SETOP };

struct query {
    enum query_kind kind;
    bool correlated;  /* looks at enclosing frames */
    unsigned n_slots; /* of its frame */

    struct rte *rtes[BIND_RTES_MAX];
    size_t n_rtes;
    struct jtree *from; /* NULL: no FROM */
    struct bx **where;
    size_t n_where;

    bool grouped; /* GROUP BY or aggregates */
    struct bx **group_keys;
    unsigned *group_slots; /* where each key stands after grouping */
    size_t n_group_keys;
    struct bx_agg **aggs;
    size_t n_aggs;
    struct bx *having; /* or NULL */

    struct bx **untyped; /* targets as they were before they became text; NULL each otherwise */
    struct bx **targets; /* visible ones first, then those that only ORDER BY needs */
    const char **names;  /* of the visible ones */
    size_t n_targets;    /* all */
    size_t n_visible;
    unsigned out_slot;    /* targets stand here after projection */
    struct bx **out_vars; /* target i as a variable of this frame */

    bool distinct;
    unsigned *distinct_on; /* targets; DISTINCT ON */
    size_t n_distinct_on;
    struct order_item *order;
    size_t n_order;
    struct bx *limit; /* BIGINT, or NULL */
    struct bx *offset;

    struct bx ***rows; /* VALUES: n_rows of n_visible expressions */
    size_t n_rows;

    enum setop_kind setop;
    bool setop_all;
    struct query *left, *right;
};

struct set_clause {
    uint16_t column;
    struct bx *value;
};

enum dml_kind { DML_INSERT, DML_UPDATE, DML_DELETE };

/* INSERT, UPDATE, DELETE. The block `query` gives the frame; its rte 0 is the target. INSERT: `source` gives rows,
 * copied to source_slot; `values` make the new row in new_slot (also EXCLUDED's columns). */
struct dml {
    enum dml_kind kind;
    const struct table *table;
    struct query *query;
    struct query *source;
    unsigned source_slot;
    unsigned new_slot;
    struct bx **values; /* INSERT: one a column. UPDATE: NULL where the column stays */
    enum conflict_action conflict;
    const struct index *arbiter; /* ON CONFLICT's index; NULL: any */
    struct bx **conflict_values; /* as UPDATE's values */
    struct bx *conflict_where;   /* or NULL */
    bool returning;              /* query->targets are RETURNING's */
};

struct bound {
    struct query *query; /* SELECT */
    struct dml *dml;
    unsigned n_subqueries;
    struct subquery **subqueries;
    struct bx *as_of; /* AS OF SYSTEM TIME of the outermost SELECT, or NULL */
    bool locks;       /* FOR UPDATE or FOR SHARE */
};

/* What the binder knows of a statement's parameters. `types` has room for `n`; UNKNOWN ones are inferred. */
struct bind_params {
    enum sql_type *types;
    size_t n;
};

struct bind_options {
    const struct catalog *catalog;
    const struct func_env *env;
    struct arena *mem;
    struct bind_params *params;
};

/* SELECT, INSERT, UPDATE or DELETE. */
enum status bind_stmt(const struct bind_options *opts, const struct stmt *stmt, struct bound *out,
                      struct err *err) MRD_CHECKED;
/* An expression without columns (EXECUTE's arguments, AS OF, a default): cast to `want` by assignment unless
 * that is UNKNOWN. */
enum status bind_value(const struct bind_options *opts, const struct expr *e, enum sql_type want,
                       int32_t typmod, struct bx **out, struct err *err) MRD_CHECKED;

/* Virtual tables: rows made up from the catalog. */
struct virtual_column {
    const char *name;
    enum sql_type type;
};
struct virtual_rows; /* collects rows */
struct virtual_table {
    const char *schema;
    const char *name;
    const struct virtual_column *columns;
    size_t n_columns;
    void (*fill)(const struct catalog *c, struct virtual_rows *out);
};
const struct virtual_table *virtual_table_find(const char *schema, const char *name);

#endif
