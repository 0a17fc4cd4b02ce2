/*
 * parse_define.y - tables and indexes. Part of the grammar: see parse.y.
 */

/* ---- definition ---- */

%type create_table {struct stmt *}
create_table(A) ::= CREATE opt_temp(T) TABLE opt_if_not_exists(E) relation(R) LP opt_elements(L) RP opt_storage. {
    L->table = R;
    L->temporary = T != 0;
    L->if_not_exists = E != 0;
    A = stmt_new(p, STMT_CREATE_TABLE, L);
}
opt_temp(A) ::= . { A = 0; }
opt_temp(A) ::= TEMP. { A = 1; }
opt_temp(A) ::= TEMPORARY. { A = 1; }
opt_if_not_exists(A) ::= . { A = 0; }
opt_if_not_exists(A) ::= IF NOT EXISTS. { A = 1; }
opt_if_exists(A) ::= . { A = 0; }
opt_if_exists(A) ::= IF EXISTS. { A = 1; }
opt_storage ::= .
opt_storage ::= WITH LP storages RP.
opt_storage ::= WITHOUT ID.
storages ::= storage.
storages ::= storages COMMA storage.
storage ::= label.
storage ::= label EQ bexpr.
storage ::= label DOT label.
storage ::= label DOT label EQ bexpr.

%type opt_elements {struct create_table_stmt *}
opt_elements(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
opt_elements(A) ::= elements(A).
%type elements {struct create_table_stmt *}
elements(A) ::= element(E). { A = table_element(p, NULL, E); }
elements(A) ::= elements(L) COMMA element(E). { A = table_element(p, L, E); }
%type element {struct table_element *}
element(A) ::= column_def(C). { A = arena_zalloc(p->mem, sizeof *A); A->column = C; }
element(A) ::= table_constraint(C). { A = arena_zalloc(p->mem, sizeof *A); A->constraint = C; }

%type column_def {struct column_def *}
column_def(A) ::= colid(N) typename(T) column_quals(Q). {
    A = Q;
    A->name = N;
    A->type = *T;
}
%type column_quals {struct column_def *}
column_quals(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
column_quals(A) ::= column_quals(D) column_constraint(C). { A = column_add(p, D, C); }
column_quals(A) ::= column_quals(D) CONSTRAINT colid(N) column_constraint(C). {
    C->name = N.name;
    A = column_add(p, D, C);
}
column_quals(A) ::= column_quals(D) COLLATE dotted(N). {
    A = D;
    A->collation = N.items[N.n - 1].name;
}
%type column_constraint {struct column_constraint *}
column_constraint(A) ::= NOT(T) NULL. { A = constraint_new(p, COLUMN_NOT_NULL, T.pos); }
column_constraint(A) ::= NULL(T). { A = constraint_new(p, COLUMN_NULL, T.pos); }
column_constraint(A) ::= UNIQUE(T) opt_definition. { A = constraint_new(p, COLUMN_UNIQUE, T.pos); }
column_constraint(A) ::= PRIMARY(T) KEY opt_definition. {
    A = constraint_new(p, COLUMN_PRIMARY_KEY, T.pos);
}
column_constraint(A) ::= CHECK(T) LP expr(E) RP. {
    A = constraint_new(p, COLUMN_CHECK, T.pos);
    A->expr = E;
}
column_constraint(A) ::= DEFAULT(T) bexpr(E). {
    A = constraint_new(p, COLUMN_DEFAULT, T.pos);
    A->expr = E;
}
column_constraint(A) ::= REFERENCES(T) relation(R) opt_names(L). {
    A = constraint_new(p, COLUMN_REFERENCES, T.pos);
    A->ref_table = R;
    A->ref_columns = L;
}
opt_definition ::= . [OP]
opt_definition ::= WITH LP storages RP.

%type table_constraint {struct table_constraint *}
table_constraint(A) ::= constraint_elem(A).
table_constraint(A) ::= CONSTRAINT colid(N) constraint_elem(C). { A = C; A->name = N.name; }
%type constraint_elem {struct table_constraint *}
constraint_elem(A) ::= PRIMARY(T) KEY LP names(L) RP opt_definition. {
    A = arena_zalloc(p->mem, sizeof *A);
    A->kind = TABLE_PRIMARY_KEY;
    A->columns = L;
    A->pos = T.pos;
}
constraint_elem(A) ::= UNIQUE(T) LP names(L) RP opt_definition. {
    A = arena_zalloc(p->mem, sizeof *A);
    A->kind = TABLE_UNIQUE;
    A->columns = L;
    A->pos = T.pos;
}
constraint_elem(A) ::= CHECK(T) LP expr(E) RP. {
    A = arena_zalloc(p->mem, sizeof *A);
    A->kind = TABLE_CHECK;
    A->expr = E;
    A->pos = T.pos;
}
constraint_elem(A) ::= FOREIGN(T) KEY LP names(L) RP REFERENCES relation(R) opt_names(M). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->kind = TABLE_FOREIGN_KEY;
    A->columns = L;
    A->ref_table = R;
    A->ref_columns = M;
    A->pos = T.pos;
}

%type create_index {struct stmt *}
create_index(A) ::= CREATE(T) opt_unique(U) INDEX opt_concurrently(C) index_name(N) ON only_relation(R)
                    opt_method(M) LP index_columns(L) RP opt_include(I) opt_storage opt_where(W). {
    L->unique = U != 0;
    L->concurrently = C != 0;
    L->if_not_exists = N->if_not_exists;
    L->name = N->name;
    L->pos = N->pos != 0 ? N->pos : T.pos;
    L->table = R;
    L->method = M;
    L->include = I;
    L->where = W;
    A = stmt_new(p, STMT_CREATE_INDEX, L);
}
opt_unique(A) ::= . { A = 0; }
opt_unique(A) ::= UNIQUE. { A = 1; }
opt_concurrently(A) ::= . { A = 0; }
opt_concurrently(A) ::= CONCURRENTLY. { A = 1; }
%type index_name {struct create_index_stmt *}
index_name(A) ::= . { A = arena_zalloc(p->mem, sizeof *A); }
index_name(A) ::= colid(N). { A = arena_zalloc(p->mem, sizeof *A); A->name = N.name; A->pos = N.pos; }
index_name(A) ::= IF NOT EXISTS colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = N.name;
    A->pos = N.pos;
    A->if_not_exists = true;
}
%type only_relation {struct qual_name}
only_relation(A) ::= relation(A).
only_relation(A) ::= ONLY relation(R). { A = R; }
%type opt_method {const char *}
opt_method(A) ::= . { A = NULL; }
opt_method(A) ::= USING colid(N). { A = N.name; }
%type opt_include {struct ident_list}
opt_include(A) ::= . { A = (struct ident_list){NULL, 0}; }
opt_include(A) ::= INCLUDE LP names(L) RP. { A = L; }
%type index_columns {struct create_index_stmt *}
index_columns(A) ::= index_column(C). { A = index_add(p, NULL, C); }
index_columns(A) ::= index_columns(L) COMMA index_column(C). { A = index_add(p, L, C); }
%type index_column {struct index_column *}
index_column(A) ::= index_key(E) opt_collate opt_opclass asc_desc(D) nulls(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    *A = (struct index_column){E, D != 0, (enum sort_nulls)N, E->pos};
}
%type index_key {struct expr *}
index_key(A) ::= colid(N). { A = expr_column(p, one_ident(p, N)); }
index_key(A) ::= call(A).
index_key(A) ::= func_word(A).
index_key(A) ::= LP expr(E) RP. { A = E; }
opt_collate ::= .
opt_collate ::= COLLATE dotted.
opt_opclass ::= .
opt_opclass ::= dotted.

%type drop {struct stmt *}
drop(A) ::= DROP drop_kind(K) opt_if_exists(E) relations(L) drop_behavior(B). {
    struct drop_stmt *d = arena_zalloc(p->mem, sizeof *d);

    *d = (struct drop_stmt){(enum drop_kind)K, E != 0, B != 0, L};
    A = stmt_new(p, STMT_DROP, d);
}
drop_kind(A) ::= TABLE. { A = DROP_TABLE; }
drop_kind(A) ::= INDEX opt_concurrently. { A = DROP_INDEX; }
drop_kind(A) ::= VIEW. { A = DROP_VIEW; }
drop_behavior(A) ::= . { A = 0; }
drop_behavior(A) ::= CASCADE. { A = 1; }
drop_behavior(A) ::= RESTRICT. { A = 0; }

%type truncate {struct stmt *}
truncate(A) ::= TRUNCATE opt_table truncate_tables(L) identity(I) drop_behavior(B). {
    struct truncate_stmt *t = arena_zalloc(p->mem, sizeof *t);

    *t = (struct truncate_stmt){L, B != 0, I != 0};
    A = stmt_new(p, STMT_TRUNCATE, t);
}
opt_table ::= .
opt_table ::= TABLE.
%type truncate_tables {struct qual_name_list}
truncate_tables(A) ::= dml_relation(R). { A = qual_add(p, (struct qual_name_list){NULL, 0}, R); }
truncate_tables(A) ::= truncate_tables(L) COMMA dml_relation(R). { A = qual_add(p, L, R); }
identity(A) ::= . { A = 0; }
identity(A) ::= CONTINUE IDENTITY. { A = 0; }
identity(A) ::= RESTART IDENTITY. { A = 1; }

%type alter_table {struct stmt *}
alter_table(A) ::= ALTER TABLE opt_if_exists(E) dml_relation(R) alter_actions(L). {
    L->table = R;
    L->if_exists = E != 0;
    A = stmt_new(p, STMT_ALTER_TABLE, L);
}
%type alter_actions {struct alter_table_stmt *}
alter_actions(A) ::= alter_action(X). { A = alter_add(p, NULL, X); }
alter_actions(A) ::= alter_actions(L) COMMA alter_action(X). { A = alter_add(p, L, X); }
%type alter_action {struct alter_action *}
alter_action(A) ::= ADD(T) table_constraint(C). {
    A = arena_zalloc(p->mem, sizeof *A);
    *A = (struct alter_action){ALTER_ADD_CONSTRAINT, *C, T.pos};
}
