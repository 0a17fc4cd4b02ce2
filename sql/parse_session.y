/*
 * parse_session.y - transactions, settings, prepared statements, EXPLAIN, maintenance. Part of the grammar: see
 * parse.y.
 */

/* ---- transactions ---- */

%type transaction {struct stmt *}
transaction(A) ::= BEGIN opt_work opt_modes(M). { A = txn_new(p, TXN_BEGIN, M); }
transaction(A) ::= START TRANSACTION opt_modes(M). { A = txn_new(p, TXN_START, M); }
transaction(A) ::= COMMIT opt_work opt_chain(C). {
    A = txn_new(p, TXN_COMMIT, (struct txn_modes){0});
    A->txn->chain = C != 0;
}
transaction(A) ::= END opt_work opt_chain(C). {
    A = txn_new(p, TXN_COMMIT, (struct txn_modes){0});
    A->txn->chain = C != 0;
}
transaction(A) ::= ROLLBACK opt_work opt_chain(C). {
    A = txn_new(p, TXN_ROLLBACK, (struct txn_modes){0});
    A->txn->chain = C != 0;
}
transaction(A) ::= ABORT opt_work opt_chain(C). {
    A = txn_new(p, TXN_ROLLBACK, (struct txn_modes){0});
    A->txn->chain = C != 0;
}
transaction(A) ::= SAVEPOINT colid(N). {
    A = txn_new(p, TXN_SAVEPOINT, (struct txn_modes){0});
    A->txn->savepoint = N.name;
}
transaction(A) ::= RELEASE opt_savepoint colid(N). {
    A = txn_new(p, TXN_RELEASE, (struct txn_modes){0});
    A->txn->savepoint = N.name;
}
transaction(A) ::= ROLLBACK opt_work TO opt_savepoint colid(N). {
    A = txn_new(p, TXN_ROLLBACK_TO, (struct txn_modes){0});
    A->txn->savepoint = N.name;
}
opt_work ::= .
opt_work ::= WORK.
opt_work ::= TRANSACTION.
opt_savepoint ::= .
opt_savepoint ::= SAVEPOINT.
opt_chain(A) ::= . { A = 0; }
opt_chain(A) ::= AND CHAIN. { A = 1; }
opt_chain(A) ::= AND NO CHAIN. { A = 0; }

%type opt_modes {struct txn_modes}
opt_modes(A) ::= . { A = (struct txn_modes){0}; }
opt_modes(A) ::= modes(A).
%type modes {struct txn_modes}
modes(A) ::= mode(A).
modes(A) ::= modes(L) mode(M). { A = modes_merge(p, L, M); }
modes(A) ::= modes(L) COMMA mode(M). { A = modes_merge(p, L, M); }
%type mode {struct txn_modes}
mode(A) ::= ISOLATION LEVEL isolation(I). { A = (struct txn_modes){.isolation = (enum isolation)I}; }
mode(A) ::= READ ONLY. { A = (struct txn_modes){.access = ACCESS_READ_ONLY}; }
mode(A) ::= READ WRITE. { A = (struct txn_modes){.access = ACCESS_READ_WRITE}; }
mode(A) ::= DEFERRABLE. { A = (struct txn_modes){.deferrable = DEFERRABLE_YES}; }
mode(A) ::= NOT DEFERRABLE. { A = (struct txn_modes){.deferrable = DEFERRABLE_NO}; }
mode(A) ::= as_of(E). { A = (struct txn_modes){.as_of = E}; }
isolation(A) ::= READ UNCOMMITTED. { A = ISOLATION_READ_UNCOMMITTED; }
isolation(A) ::= READ COMMITTED. { A = ISOLATION_READ_COMMITTED; }
isolation(A) ::= REPEATABLE READ. { A = ISOLATION_REPEATABLE_READ; }
isolation(A) ::= SERIALIZABLE. { A = ISOLATION_SERIALIZABLE; }

/* ---- session ---- */

%type set {struct stmt *}
set(A) ::= SET set_rest(S). { A = S; }
set(A) ::= SET LOCAL set_rest(S). { A = S; A->set->scope = SET_LOCAL; }
set(A) ::= SET SESSION set_rest(S). { A = S; }
set(A) ::= SET TRANSACTION modes(M). {
    A = set_new(p, SET_TRANSACTION, "transaction", (struct expr_list){NULL, 0});
    A->set->modes = M;
}
set(A) ::= SET SESSION CHARACTERISTICS AS TRANSACTION modes(M). {
    A = set_new(p, SET_CHARACTERISTICS, "transaction", (struct expr_list){NULL, 0});
    A->set->modes = M;
}
set(A) ::= RESET reset_name(N). { A = set_new(p, SET_DEFAULT, N, (struct expr_list){NULL, 0}); }
set(A) ::= RESET ALL. { A = set_new(p, SET_RESET_ALL, "all", (struct expr_list){NULL, 0}); }
%type set_rest {struct stmt *}
set_rest(A) ::= var_name(N) TO set_values(V). { A = set_new(p, SET_VALUE, dotted_text(p, N), V); }
set_rest(A) ::= var_name(N) EQ set_values(V). { A = set_new(p, SET_VALUE, dotted_text(p, N), V); }
set_rest(A) ::= var_name(N) TO DEFAULT. {
    A = set_new(p, SET_DEFAULT, dotted_text(p, N), (struct expr_list){NULL, 0});
}
set_rest(A) ::= var_name(N) EQ DEFAULT. {
    A = set_new(p, SET_DEFAULT, dotted_text(p, N), (struct expr_list){NULL, 0});
}
set_rest(A) ::= TIME ZONE zone_value(V). {
    A = set_new(p, V == NULL ? SET_DEFAULT : SET_VALUE, "timezone",
                V == NULL ? (struct expr_list){NULL, 0} : one_expr(p, V));
}
set_rest(A) ::= SCHEMA SCONST(T). {
    A = set_new(p, SET_VALUE, "search_path", one_expr(p, expr_string(p, T.str, T.pos)));
}
set_rest(A) ::= NAMES SCONST(T). {
    A = set_new(p, SET_VALUE, "client_encoding", one_expr(p, expr_string(p, T.str, T.pos)));
}
set_rest(A) ::= NAMES. { A = set_new(p, SET_DEFAULT, "client_encoding", (struct expr_list){NULL, 0}); }
set_rest(A) ::= ROLE ID(T). { A = set_new(p, SET_VALUE, "role", one_expr(p, set_word(p, T))); }
set_rest(A) ::= ROLE SCONST(T). { A = set_new(p, SET_VALUE, "role", one_expr(p, set_word(p, T))); }
set_rest(A) ::= SESSION AUTHORIZATION ID(T). {
    A = set_new(p, SET_VALUE, "session_authorization", one_expr(p, set_word(p, T)));
}
set_rest(A) ::= SESSION AUTHORIZATION SCONST(T). {
    A = set_new(p, SET_VALUE, "session_authorization", one_expr(p, set_word(p, T)));
}
set_rest(A) ::= SESSION AUTHORIZATION DEFAULT. {
    A = set_new(p, SET_DEFAULT, "session_authorization", (struct expr_list){NULL, 0});
}
%type reset_name {const char *}
reset_name(A) ::= var_name(N). { A = dotted_text(p, N); }
reset_name(A) ::= TIME ZONE. { A = "timezone"; }
reset_name(A) ::= TRANSACTION ISOLATION LEVEL. { A = "transaction_isolation"; }
reset_name(A) ::= SESSION AUTHORIZATION. { A = "session_authorization"; }
%type var_name {struct ident_list}
var_name(A) ::= ID(N). { A = one_ident(p, ident_of(N)); }
var_name(A) ::= var_name(L) DOT ID(N). { A = ident_add(p, L, ident_of(N)); }
%type set_values {struct expr_list}
set_values(A) ::= set_value(E). { A = one_expr(p, E); }
set_values(A) ::= set_values(L) COMMA set_value(E). { A = list_add(p, L, E); }
%type set_value {struct expr *}
set_value(A) ::= ID(T). { A = set_word(p, T); }
set_value(A) ::= SCONST(T). { A = set_word(p, T); }
set_value(A) ::= TRUE(T). { A = set_word(p, T); }
set_value(A) ::= FALSE(T). { A = set_word(p, T); }
set_value(A) ::= ON(T). { A = set_word(p, T); }
set_value(A) ::= number(A).
%type number {struct expr *}
number(A) ::= ICONST(T). { A = expr_number(p, T); }
number(A) ::= FCONST(T). { A = expr_number(p, T); }
number(A) ::= PLUS ICONST(T). { A = expr_number(p, T); }
number(A) ::= PLUS FCONST(T). { A = expr_number(p, T); }
number(A) ::= MINUS(M) ICONST(T). { A = expr_negate(p, expr_number(p, T), M.pos); }
number(A) ::= MINUS(M) FCONST(T). { A = expr_negate(p, expr_number(p, T), M.pos); }
%type zone_value {struct expr *}
zone_value(A) ::= ID(T). { A = set_word(p, T); }
zone_value(A) ::= SCONST(T). { A = set_word(p, T); }
zone_value(A) ::= number(A).
zone_value(A) ::= INTERVAL SCONST(T). { A = set_word(p, T); }
zone_value(A) ::= DEFAULT. { A = NULL; }
zone_value(A) ::= LOCAL. { A = NULL; }

%type show {struct stmt *}
show(A) ::= SHOW reset_name(N). { A = show_new(p, N, NULL); }
show(A) ::= SHOW ALL. { A = show_new(p, "all", NULL); }
show(A) ::= SHOW ID(N) ID(X). { A = show_new(p, N.str, X.str); }
show(A) ::= SHOW ID(N) GROUP. { A = show_new(p, N.str, "group"); }
show(A) ::= SHOW ID(N) TIME. { A = show_new(p, N.str, "time"); }
show(A) ::= SHOW ID(N) FROM dotted(X). { A = show_new(p, N.str, dotted_text(p, X)); }

%type prepare {struct stmt *}
prepare(A) ::= PREPARE colid(N) opt_types(T) AS dml(S). {
    T->name = N;
    T->stmt = S;
    A = stmt_new(p, STMT_PREPARE, T);
}
%type opt_types {struct prepare_stmt *}
opt_types(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
opt_types(A) ::= LP types(L) RP. { A = L; }
%type types {struct prepare_stmt *}
types(A) ::= typename(T). { A = prepare_type(p, NULL, T); }
types(A) ::= types(L) COMMA typename(T). { A = prepare_type(p, L, T); }

%type execute {struct stmt *}
execute(A) ::= EXECUTE colid(N) execute_args(L). {
    struct execute_stmt *x = arena_zalloc(p->mem, sizeof *x);

    *x = (struct execute_stmt){N, L};
    A = stmt_new(p, STMT_EXECUTE, x);
}
%type execute_args {struct expr_list}
execute_args(A) ::= . { A = (struct expr_list){NULL, 0}; }
execute_args(A) ::= LP exprs(L) RP. { A = L; }

%type deallocate {struct stmt *}
deallocate(A) ::= DEALLOCATE opt_prepare colid(N). {
    A = stmt_new(p, STMT_DEALLOCATE, NULL);
    A->deallocate = N;
}
deallocate(A) ::= DEALLOCATE opt_prepare ALL(T). {
    A = stmt_new(p, STMT_DEALLOCATE, NULL);
    A->deallocate = (struct ident){NULL, T.pos};
}
opt_prepare ::= .
opt_prepare ::= PREPARE.

%type explain {struct stmt *}
explain(A) ::= EXPLAIN explain_target(S). { A = explain_new(p, NULL, S); }
explain(A) ::= EXPLAIN ANALYZE opt_verbose(V) explain_target(S). {
    A = explain_new(p, NULL, S);
    A->explain->analyze = true;
    A->explain->verbose = V != 0;
}
explain(A) ::= EXPLAIN VERBOSE explain_target(S). {
    A = explain_new(p, NULL, S);
    A->explain->verbose = true;
}
explain(A) ::= EXPLAIN LP explain_options(X) RP explain_target(S). { A = explain_new(p, X, S); }
%type explain_target {struct stmt *}
explain_target(A) ::= dml(A).
explain_target(A) ::= execute(A).
opt_verbose(A) ::= . { A = 0; }
opt_verbose(A) ::= VERBOSE. { A = 1; }
%type explain_options {struct explain_stmt *}
explain_options(A) ::= explain_word(N). { A = explain_option(p, NULL, N, NULL); }
explain_options(A) ::= explain_word(N) option_value(V). { A = explain_option(p, NULL, N, V.str); }
explain_options(A) ::= explain_options(X) COMMA explain_word(N). { A = explain_option(p, X, N, NULL); }
explain_options(A) ::= explain_options(X) COMMA explain_word(N) option_value(V). {
    A = explain_option(p, X, N, V.str);
}
%type explain_word {struct token}
explain_word(A) ::= ID(A).
explain_word(A) ::= ANALYZE(A).
explain_word(A) ::= VERBOSE(A).
%type option_value {struct token}
option_value(A) ::= ID(A).
option_value(A) ::= SCONST(A).
option_value(A) ::= ICONST(A).
option_value(A) ::= TRUE(A).
option_value(A) ::= FALSE(A).
option_value(A) ::= ON(A).

%type maintenance {struct stmt *}
maintenance(A) ::= VACUUM opt_full opt_freeze opt_verbose opt_analyze(Z) opt_vacuum_tables(L). {
    A = maintenance_new(p, MAINT_VACUUM, L);
    A->maintenance->analyze = Z != 0;
}
maintenance(A) ::= VACUUM LP vacuum_options RP opt_vacuum_tables(L). {
    A = maintenance_new(p, MAINT_VACUUM, L);
}
maintenance(A) ::= ANALYZE opt_verbose opt_vacuum_tables(L). {
    A = maintenance_new(p, MAINT_ANALYZE, L);
}
maintenance(A) ::= CHECKPOINT. {
    A = maintenance_new(p, MAINT_CHECKPOINT, (struct qual_name_list){NULL, 0});
}
maintenance(A) ::= DISCARD discard_what(T). {
    A = maintenance_new(p, MAINT_DISCARD, (struct qual_name_list){NULL, 0});
    A->maintenance->discard = T.str;
}
%type discard_what {struct token}
discard_what(A) ::= ALL(A).
discard_what(A) ::= TEMP(A).
discard_what(A) ::= TEMPORARY(A).
discard_what(A) ::= PLANS(A).
discard_what(A) ::= SEQUENCES(A).
opt_full ::= .
opt_full ::= FULL.
opt_freeze ::= .
opt_freeze ::= FREEZE.
opt_analyze(A) ::= . { A = 0; }
opt_analyze(A) ::= ANALYZE. { A = 1; }
vacuum_options ::= vacuum_option.
vacuum_options ::= vacuum_options COMMA vacuum_option.
vacuum_option ::= vacuum_word.
vacuum_option ::= vacuum_word option_value.
vacuum_word ::= ID.
vacuum_word ::= ANALYZE.
vacuum_word ::= VERBOSE.
vacuum_word ::= FULL.
vacuum_word ::= FREEZE.
%type opt_vacuum_tables {struct qual_name_list}
opt_vacuum_tables(A) ::= . { A = (struct qual_name_list){NULL, 0}; }
opt_vacuum_tables(A) ::= vacuum_tables(A).
%type vacuum_tables {struct qual_name_list}
vacuum_tables(A) ::= vacuum_table(R). { A = qual_add(p, (struct qual_name_list){NULL, 0}, R); }
vacuum_tables(A) ::= vacuum_tables(L) COMMA vacuum_table(R). { A = qual_add(p, L, R); }
%type vacuum_table {struct qual_name}
vacuum_table(A) ::= relation(R) opt_names. { A = R; }
