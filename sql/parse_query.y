/*
 * parse_query.y - SELECT and VALUES, INSERT, UPDATE, DELETE. Part of the grammar: see parse.y.
 */

/* ---- queries ---- */

%type select {struct select_stmt *}
select(A) ::= select_no_parens(A). [UMINUS]
select(A) ::= select_parens(A). [UMINUS]
%type select_parens {struct select_stmt *}
select_parens(A) ::= LP select_no_parens(S) RP. { A = S; }
select_parens(A) ::= LP select_parens(S) RP. { A = S; }

%type select_no_parens {struct select_stmt *}
select_no_parens(A) ::= simple_select(A).
select_no_parens(A) ::= select_clause(S) tail(T). { A = select_add_tail(p, S, T, NULL); }
select_no_parens(A) ::= with(W) select_clause(S). { A = select_add_tail(p, S, NULL, W); }
select_no_parens(A) ::= with(W) select_clause(S) tail(T). { A = select_add_tail(p, S, T, W); }
%type select_clause {struct select_stmt *}
select_clause(A) ::= simple_select(A).
select_clause(A) ::= select_parens(A).

%type simple_select {struct select_stmt *}
simple_select(A) ::= select_head(S) opt_from(F) opt_as_of(O) opt_where(W) opt_group(G) opt_having(H) opt_windows(N). {
    A = S;
    A->from = F;
    A->as_of = O;
    A->where = W;
    A->group_by = G->group_by;
    A->group_distinct = G->group_distinct;
    A->having = H;
    A->windows = N->windows;
    A->n_windows = N->n_windows;
    A = select_done(p, A);
}
simple_select(A) ::= values(S). { A = select_done(p, S); }
simple_select(A) ::= TABLE(T) relation(R). {
    struct from_item *f = from_new(p, FROM_TABLE, R.pos);

    f->table.name = R;
    A = select_new(p, SELECT_PLAIN, T.pos);
    A->targets = target_add(p, A->targets,
                            (struct target){expr_star(p, (struct ident_list){NULL, 0}, T.pos), NULL, T.pos});
    A->from = from_add(p, A->from, f);
    A = select_done(p, A);
}
simple_select(A) ::= select_clause(L) UNION(T) set_all(Q) select_clause(R). [UNION] {
    A = select_setop(p, SETOP_UNION, Q != 0, L, R, T.pos);
}
simple_select(A) ::= select_clause(L) EXCEPT(T) set_all(Q) select_clause(R). [EXCEPT] {
    A = select_setop(p, SETOP_EXCEPT, Q != 0, L, R, T.pos);
}
simple_select(A) ::= select_clause(L) INTERSECT(T) set_all(Q) select_clause(R). [INTERSECT] {
    A = select_setop(p, SETOP_INTERSECT, Q != 0, L, R, T.pos);
}
set_all(A) ::= . { A = 0; }
set_all(A) ::= DISTINCT. { A = 0; }
set_all(A) ::= ALL. { A = 1; }

%type values {struct select_stmt *}
values(A) ::= VALUES(T) LP exprs(L) RP. {
    A = select_values_add(p, select_new(p, SELECT_VALUES, T.pos), L, T.pos);
}
values(A) ::= values(S) COMMA LP(T) exprs(L) RP. { A = select_values_add(p, S, L, T.pos); }

%type select_head {struct select_stmt *}
select_head(A) ::= SELECT(T) opt_all opt_targets(L). {
    A = select_new(p, SELECT_PLAIN, T.pos);
    A->targets = L;
}
select_head(A) ::= SELECT(T) DISTINCT targets(L). {
    A = select_new(p, SELECT_PLAIN, T.pos);
    A->distinct = DISTINCT_YES;
    A->targets = L;
}
select_head(A) ::= SELECT(T) DISTINCT ON LP exprs(D) RP targets(L). {
    A = select_new(p, SELECT_PLAIN, T.pos);
    A->distinct = DISTINCT_ON;
    A->distinct_on = D;
    A->targets = L;
}
opt_all ::= .
opt_all ::= ALL.

%type opt_targets {struct target_list}
opt_targets(A) ::= . { A = (struct target_list){NULL, 0}; }
opt_targets(A) ::= targets(A).
%type targets {struct target_list}
targets(A) ::= target(T). { A = target_add(p, (struct target_list){NULL, 0}, T); }
targets(A) ::= targets(L) COMMA target(T). { A = target_add(p, L, T); }
%type target {struct target}
target(A) ::= expr(E). { A = (struct target){E, NULL, E->pos}; }
target(A) ::= expr(E) AS label(N). { A = (struct target){E, N.name, E->pos}; }
target(A) ::= expr(E) ID(N). { A = (struct target){E, N.str, E->pos}; }
target(A) ::= STAR(T). {
    A = (struct target){expr_star(p, (struct ident_list){NULL, 0}, T.pos), NULL, T.pos};
}

%type opt_as_of {struct expr *}
opt_as_of(A) ::= . { A = NULL; }
opt_as_of(A) ::= as_of(A).
%type as_of {struct expr *}
as_of(A) ::= AS_LA OF SYSTEM TIME expr(X). { A = X; }
%type opt_where {struct expr *}
opt_where(A) ::= . { A = NULL; }
opt_where(A) ::= WHERE expr(X). { A = X; }
%type opt_group {struct select_stmt *}
opt_group(A) ::= . { A = select_new(p, SELECT_PLAIN, 0); }
opt_group(A) ::= GROUP BY exprs(L). { A = select_new(p, SELECT_PLAIN, 0); A->group_by = L; }
opt_group(A) ::= GROUP BY ALL exprs(L). { A = select_new(p, SELECT_PLAIN, 0); A->group_by = L; }
opt_group(A) ::= GROUP BY DISTINCT exprs(L). {
    A = select_new(p, SELECT_PLAIN, 0);
    A->group_by = L;
    A->group_distinct = true;
}
%type opt_having {struct expr *}
opt_having(A) ::= . { A = NULL; }
opt_having(A) ::= HAVING expr(X). { A = X; }
%type opt_windows {struct select_stmt *}
opt_windows(A) ::= . { A = select_new(p, SELECT_PLAIN, 0); }
opt_windows(A) ::= WINDOW windows(X). { A = X; }
%type windows {struct select_stmt *}
windows(A) ::= window(W). {
    A = select_new(p, SELECT_PLAIN, 0);
    A->windows = vec_grow(p, A->windows, A->n_windows, sizeof *W);
    A->windows[A->n_windows++] = *W;
}
windows(A) ::= windows(L) COMMA window(W). {
    A = L;
    A->windows = vec_grow(p, A->windows, A->n_windows, sizeof *W);
    A->windows[A->n_windows++] = *W;
}
%type window {struct named_window *}
window(A) ::= colid(N) AS window_spec(S). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = N;
    A->def = S;
}

/* FROM */
%type opt_from {struct from_list}
opt_from(A) ::= . { A = (struct from_list){NULL, 0}; }
opt_from(A) ::= FROM from_list(X). { A = X; }
%type from_list {struct from_list}
from_list(A) ::= from(F). { A = from_add(p, (struct from_list){NULL, 0}, F); }
from_list(A) ::= from_list(L) COMMA from(F). { A = from_add(p, L, F); }
%type from {struct from_item *}
from(A) ::= from_relation(F) opt_alias(N). { A = from_alias(F, N); }
from(A) ::= call(C) opt_ordinality(O) opt_alias(N). {
    A = from_alias(from_func(p, C, false, O != 0), N);
}
from(A) ::= LATERAL call(C) opt_ordinality(O) opt_alias(N). {
    A = from_alias(from_func(p, C, true, O != 0), N);
}
from(A) ::= func_word(C) opt_ordinality(O) opt_alias(N). {
    A = from_alias(from_func(p, C, false, O != 0), N);
}
from(A) ::= select_parens(S) opt_alias(N). { A = from_alias(from_subquery(p, S, false, S->pos), N); }
from(A) ::= LATERAL(T) select_parens(S) opt_alias(N). {
    A = from_alias(from_subquery(p, S, true, T.pos), N);
}
from(A) ::= joined(A).
from(A) ::= LP joined(J) RP alias(N). { A = from_alias(J, N); }
%type from_relation {struct from_item *}
from_relation(A) ::= relation(R). { A = from_new(p, FROM_TABLE, R.pos); A->table.name = R; }
from_relation(A) ::= relation(R) STAR. { A = from_new(p, FROM_TABLE, R.pos); A->table.name = R; }
from_relation(A) ::= ONLY relation(R). {
    A = from_new(p, FROM_TABLE, R.pos);
    A->table.name = R;
    A->table.only = true;
}
opt_ordinality(A) ::= . { A = 0; }
opt_ordinality(A) ::= WITH_LA ORDINALITY. { A = 1; }

%type joined {struct from_item *}
joined(A) ::= LP joined(J) RP. { A = J; }
joined(A) ::= from(L) CROSS(T) JOIN from(R). [JOIN] { A = from_join(p, JOIN_CROSS, L, R, T.pos); }
joined(A) ::= from(L) join_type(K) JOIN(T) from(R) join_qual(Q). [JOIN] {
    A = from_join(p, (enum join_kind)K, L, R, T.pos);
    A->join.on = Q->join.on;
    A->join.using = Q->join.using;
    from_grow(p, A, Q->depth);
}
joined(A) ::= from(L) JOIN(T) from(R) join_qual(Q). [JOIN] {
    A = from_join(p, JOIN_INNER, L, R, T.pos);
    A->join.on = Q->join.on;
    A->join.using = Q->join.using;
    from_grow(p, A, Q->depth);
}
joined(A) ::= from(L) NATURAL(T) join_type(K) JOIN from(R). [JOIN] {
    A = from_join(p, (enum join_kind)K, L, R, T.pos);
    A->join.natural = true;
}
joined(A) ::= from(L) NATURAL(T) JOIN from(R). [JOIN] {
    A = from_join(p, JOIN_INNER, L, R, T.pos);
    A->join.natural = true;
}
join_type(A) ::= INNER. { A = JOIN_INNER; }
join_type(A) ::= LEFT opt_outer. { A = JOIN_LEFT; }
join_type(A) ::= RIGHT opt_outer. { A = JOIN_RIGHT; }
join_type(A) ::= FULL opt_outer. { A = JOIN_FULL; }
opt_outer ::= .
opt_outer ::= OUTER.
%type join_qual {struct from_item *}
join_qual(A) ::= ON expr(E). {
    A = from_new(p, FROM_JOIN, 0);
    A->join.on = E;
    from_grow(p, A, E->depth);
}
join_qual(A) ::= USING LP names(L) RP. { A = from_new(p, FROM_JOIN, 0); A->join.using = L; }

%type alias {struct alias *}
alias(A) ::= AS colid(N) LP names(L) RP. { A = alias_new(p, N, L); }
alias(A) ::= AS colid(N). { A = alias_new(p, N, (struct ident_list){NULL, 0}); }
alias(A) ::= ID(N) LP names(L) RP. { A = alias_new(p, ident_of(N), L); }
alias(A) ::= ID(N). { A = alias_new(p, ident_of(N), (struct ident_list){NULL, 0}); }
%type opt_alias {struct alias *}
opt_alias(A) ::= . { A = NULL; }
opt_alias(A) ::= alias(A).

/* ORDER BY, LIMIT, FOR UPDATE; in the orders that PostgreSQL allows. */
%type tail {struct select_tail *}
tail(A) ::= order_by(O). { A = tail_new(p); A->order_by = O; }
tail(A) ::= opt_order_by(O) locking(K) opt_limits(L). { A = L; A->order_by = O; A->locking = K; }
tail(A) ::= opt_order_by(O) limits(L) opt_locking(K). { A = L; A->order_by = O; A->locking = K; }

%type opt_order_by {struct sort_list}
opt_order_by(A) ::= . { A = (struct sort_list){NULL, 0}; }
opt_order_by(A) ::= order_by(A).
%type order_by {struct sort_list}
order_by(A) ::= ORDER BY sorts(X). { A = X; }
%type sorts {struct sort_list}
sorts(A) ::= sort(S). { A = sort_add(p, (struct sort_list){NULL, 0}, S); }
sorts(A) ::= sorts(L) COMMA sort(S). { A = sort_add(p, L, S); }
%type sort {struct sort_item}
sort(A) ::= expr(E) asc_desc(D) nulls(N). {
    A = (struct sort_item){E, D != 0, (enum sort_nulls)N, NULL};
}
sort(A) ::= expr(E) USING all_op(T) nulls(N). {
    A = (struct sort_item){E, strcmp(T.str, ">") == 0, (enum sort_nulls)N, T.str};
}
asc_desc(A) ::= . { A = 0; }
asc_desc(A) ::= ASC. { A = 0; }
asc_desc(A) ::= DESC. { A = 1; }
nulls(A) ::= . { A = NULLS_DEFAULT; }
nulls(A) ::= NULLS_LA FIRST. { A = NULLS_FIRST; }
nulls(A) ::= NULLS_LA LAST. { A = NULLS_LAST; }

%type opt_limits {struct select_tail *}
opt_limits(A) ::= . { A = tail_new(p); }
opt_limits(A) ::= limits(A).
%type limits {struct select_tail *}
limits(A) ::= limit(A).
limits(A) ::= offset(A).
limits(A) ::= limit(L) offset(O). { A = L; A->offset = O->offset; A->has_offset = true; }
limits(A) ::= offset(O) limit(L). { A = L; A->offset = O->offset; A->has_offset = true; }
%type limit {struct select_tail *}
limit(A) ::= LIMIT expr(E). { A = tail_new(p); A->limit = E; A->has_limit = true; }
limit(A) ::= LIMIT ALL. { A = tail_new(p); A->has_limit = true; }
limit(A) ::= FETCH first_next row_count(E) row_rows fetch_end(T). {
    A = tail_new(p);
    A->limit = E;
    A->has_limit = true;
    A->with_ties = T != 0;
}
limit(A) ::= FETCH(F) first_next row_rows fetch_end(T). {
    A = tail_new(p);
    A->limit = expr_int(p, 1, F.pos);
    A->has_limit = true;
    A->with_ties = T != 0;
}
first_next ::= FIRST.
first_next ::= NEXT.
row_rows ::= ROW.
row_rows ::= ROWS.
fetch_end(A) ::= ONLY. { A = 0; }
fetch_end(A) ::= WITH TIES. { A = 1; }
%type row_count {struct expr *}
row_count(A) ::= cexpr(A).
row_count(A) ::= PLUS ICONST(T). { A = expr_number(p, T); }
row_count(A) ::= PLUS FCONST(T). { A = expr_number(p, T); }
row_count(A) ::= MINUS(M) ICONST(T). { A = expr_negate(p, expr_number(p, T), M.pos); }
row_count(A) ::= MINUS(M) FCONST(T). { A = expr_negate(p, expr_number(p, T), M.pos); }
%type offset {struct select_tail *}
offset(A) ::= OFFSET expr(E). { A = tail_new(p); A->offset = E; A->has_offset = true; }
offset(A) ::= OFFSET row_count(E) row_rows. { A = tail_new(p); A->offset = E; A->has_offset = true; }

%type opt_locking {struct locking_list}
opt_locking(A) ::= . { A = (struct locking_list){NULL, 0}; }
opt_locking(A) ::= locking(A).
%type locking {struct locking_list}
locking(A) ::= FOR READ ONLY. { A = (struct locking_list){NULL, 0}; }
locking(A) ::= lock_items(A).
%type lock_items {struct locking_list}
lock_items(A) ::= lock_item(K). { A = locking_add(p, (struct locking_list){NULL, 0}, *K); }
lock_items(A) ::= lock_items(L) lock_item(K). { A = locking_add(p, L, *K); }
%type lock_item {struct locking *}
lock_item(A) ::= FOR(T) lock_strength(S) lock_of(O) lock_wait(W). {
    A = arena_zalloc(p->mem, sizeof *A);
    *A = (struct locking){(enum lock_strength)S, (enum lock_wait)W, O, T.pos};
}
lock_strength(A) ::= UPDATE. { A = LOCK_UPDATE; }
lock_strength(A) ::= NO KEY UPDATE. { A = LOCK_NO_KEY_UPDATE; }
lock_strength(A) ::= SHARE. { A = LOCK_SHARE; }
lock_strength(A) ::= KEY SHARE. { A = LOCK_KEY_SHARE; }
%type lock_of {struct qual_name_list}
lock_of(A) ::= . { A = (struct qual_name_list){NULL, 0}; }
lock_of(A) ::= OF relations(X). { A = X; }
lock_wait(A) ::= . { A = LOCK_BLOCK; }
lock_wait(A) ::= NOWAIT. { A = LOCK_NOWAIT; }
lock_wait(A) ::= SKIP LOCKED. { A = LOCK_SKIP; }

%type with {struct with_clause *}
with(A) ::= WITH(T) ctes(W). { A = W; A->pos = T.pos; }
with(A) ::= WITH(T) RECURSIVE ctes(W). { A = W; A->pos = T.pos; A->recursive = true; }
%type ctes {struct with_clause *}
ctes(A) ::= cte(C). { A = with_add(p, NULL, *C); }
ctes(A) ::= ctes(W) COMMA cte(C). { A = with_add(p, W, *C); }
%type cte {struct cte *}
cte(A) ::= colid(N) opt_names(L) AS opt_materialized(M) LP dml(S) RP. {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = N;
    A->columns = L;
    A->stmt = S;
    A->materialized = M;
}
opt_materialized(A) ::= . { A = CTE_DEFAULT; }
opt_materialized(A) ::= MATERIALIZED. { A = CTE_MATERIALIZED; }
opt_materialized(A) ::= NOT MATERIALIZED. { A = CTE_NOT_MATERIALIZED; }
%type opt_with {struct with_clause *}
opt_with(A) ::= . { A = NULL; }
opt_with(A) ::= with(A).

/* ---- INSERT, UPDATE, DELETE ---- */

%type insert {struct stmt *}
insert(A) ::= opt_with(W) INSERT INTO insert_target(I) insert_rest(R) on_conflict(C) returning(L). {
    R->table = I->table;
    R->alias = I->alias;
    if (W != NULL)
        R->with = *W;
    R->conflict = *C;
    R->returning = L;
    A = dml_done(p, stmt_new(p, STMT_INSERT, R));
}
%type insert_target {struct insert_stmt *}
insert_target(A) ::= relation(R). { A = arena_zalloc(p->mem, sizeof *A); A->table = R; }
insert_target(A) ::= relation(R) AS colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->table = R;
    A->alias = N.name;
}
%type insert_rest {struct insert_stmt *}
insert_rest(A) ::= select(S). { A = arena_zalloc(p->mem, sizeof *A); A->source = S; }
insert_rest(A) ::= LP names(L) RP select(S). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->columns = L;
    A->source = S;
}
insert_rest(A) ::= DEFAULT VALUES. { A = arena_zalloc(p->mem, sizeof *A); }

%type on_conflict {struct on_conflict *}
on_conflict(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
on_conflict(A) ::= ON(T) CONFLICT conflict_target(C) DO NOTHING. {
    A = C;
    A->action = CONFLICT_NOTHING;
    A->pos = T.pos;
}
on_conflict(A) ::= ON(T) CONFLICT conflict_target(C) DO UPDATE SET sets(S) opt_where(W). {
    A = C;
    A->action = CONFLICT_UPDATE;
    A->pos = T.pos;
    A->set = S;
    A->where = W;
}
%type conflict_target {struct on_conflict *}
conflict_target(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
conflict_target(A) ::= LP index_columns(L) RP opt_where(W). {
    A = arena_zalloc(p->mem, sizeof *A);
    for (size_t i = 0; i < L->n_columns; i++)
        A->target = list_add(p, A->target, L->columns[i].expr);
    A->target_where = W;
}
conflict_target(A) ::= ON CONSTRAINT colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->constraint = N.name;
}
%type returning {struct target_list}
returning(A) ::= . { A = (struct target_list){NULL, 0}; }
returning(A) ::= RETURNING targets(X). { A = X; }

%type update {struct stmt *}
update(A) ::= opt_with(W) UPDATE dml_target(T) SET sets(S) opt_from(F) opt_where(C) returning(L). {
    struct update_stmt *u = arena_zalloc(p->mem, sizeof *u);

    u->table = T->table;
    u->alias = T->alias;
    if (W != NULL)
        u->with = *W;
    u->set = S;
    u->from = F;
    u->where = C;
    u->returning = L;
    A = dml_done(p, stmt_new(p, STMT_UPDATE, u));
}
%type dml_target {struct insert_stmt *}
dml_target(A) ::= dml_relation(R). { A = arena_zalloc(p->mem, sizeof *A); A->table = R; }
dml_target(A) ::= dml_relation(R) colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->table = R;
    A->alias = N.name;
}
dml_target(A) ::= dml_relation(R) AS colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->table = R;
    A->alias = N.name;
}
%type dml_relation {struct qual_name}
dml_relation(A) ::= relation(A).
dml_relation(A) ::= relation(R) STAR. { A = R; }
dml_relation(A) ::= ONLY relation(R). { A = R; }
%type sets {struct set_list}
sets(A) ::= set_item(A).
sets(A) ::= sets(L) COMMA set_item(S). { A = set_concat(p, L, S); }
%type set_item {struct set_list}
set_item(A) ::= colid(N) EQ expr(E). {
    A = set_add(p, (struct set_list){NULL, 0}, (struct set_item){N, E, 0, 1});
}
set_item(A) ::= LP(T) names(L) RP EQ expr(E). { A = set_row(p, L, E, T.pos); }

%type delete {struct stmt *}
delete(A) ::= opt_with(W) DELETE FROM dml_target(T) opt_using(U) opt_where(C) returning(L). {
    struct delete_stmt *d = arena_zalloc(p->mem, sizeof *d);

    d->table = T->table;
    d->alias = T->alias;
    if (W != NULL)
        d->with = *W;
    d->using = U;
    d->where = C;
    d->returning = L;
    A = dml_done(p, stmt_new(p, STMT_DELETE, d));
}
%type opt_using {struct from_list}
opt_using(A) ::= . { A = (struct from_list){NULL, 0}; }
opt_using(A) ::= USING from_list(X). { A = X; }
