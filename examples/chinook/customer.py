"""How public.customer corresponds to public.person."""

from compat import rules, shapes, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "customer",
    tables.Table(
        "public",
        "customer",
        columns=(
            tables.Column(
                "customer_id",
                "integer",
                nullable=False,
                default="nextval('public.customer_customer_id_seq'::regclass)",
            ),
            tables.Column("first_name", "character varying(40)", nullable=False),
            tables.Column("last_name", "character varying(20)", nullable=False),
            tables.Column("company", "character varying(80)"),
            tables.Column("address", "character varying(70)"),
            tables.Column("city", "character varying(40)"),
            tables.Column("state", "character varying(40)"),
            tables.Column("country", "character varying(40)"),
            tables.Column("postal_code", "character varying(10)"),
            tables.Column("phone", "character varying(24)"),
            tables.Column("fax", "character varying(24)"),
            tables.Column("email", "character varying(60)", nullable=False),
            tables.Column("support_rep_id", "integer"),
        ),
        constraints=(
            tables.Constraint(
                "customer_pkey",
                "primary_key",
                columns=("customer_id",),
                definition="PRIMARY KEY (customer_id)",
            ),
            tables.Constraint(
                "customer_support_rep_id_fkey",
                "foreign_key",
                columns=("support_rep_id",),
                definition="FOREIGN KEY (support_rep_id) REFERENCES public.employee(employee_id)",
            ),
        ),
        indexes=(
            tables.Index("customer_support_rep_id_idx", definition="USING btree (support_rep_id)"),
        ),
        sequences=(tables.Sequence("public", "customer_customer_id_seq", column="customer_id"),),
    ),
    tables.Table(
        "public",
        "person",
        columns=(
            tables.Column("id", "uuid", nullable=False, default="gen_random_uuid()"),
            tables.Column("kind", "text", nullable=False),
            tables.Column("employee_number", "integer"),
            tables.Column("customer_number", "integer"),
            tables.Column("first_name", "character varying(40)", nullable=False),
            tables.Column("last_name", "character varying(20)", nullable=False),
            tables.Column("email", "character varying(60)"),
            tables.Column("phone", "character varying(24)"),
            tables.Column("fax", "character varying(24)"),
            tables.Column("company", "character varying(80)"),
            tables.Column("job_title", "character varying(30)"),
            tables.Column("born_at", "timestamp without time zone"),
            tables.Column("hired_at", "timestamp with time zone"),
            tables.Column("manager_number", "integer"),
            tables.Column("adviser_number", "integer"),
        ),
        constraints=(
            tables.Constraint(
                "person_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "person_customer_number_key",
                "unique",
                columns=("customer_number",),
                definition="UNIQUE (customer_number)",
            ),
            tables.Constraint(
                "person_employee_number_key",
                "unique",
                columns=("employee_number",),
                definition="UNIQUE (employee_number)",
            ),
            tables.Constraint(
                "person_check",
                "check",
                columns=("kind", "employee_number"),
                definition="CHECK (((kind = 'employee'::text) = (employee_number IS NOT NULL)))",
            ),
            tables.Constraint(
                "person_check1",
                "check",
                columns=("kind", "customer_number"),
                definition="CHECK (((kind = 'customer'::text) = (customer_number IS NOT NULL)))",
            ),
            tables.Constraint(
                "person_check2",
                "check",
                columns=("kind", "email"),
                definition="CHECK (((kind <> 'customer'::text) OR (email IS NOT NULL)))",
            ),
            tables.Constraint(
                "person_kind_check",
                "check",
                columns=("kind",),
                definition="CHECK ((kind = ANY (ARRAY['employee'::text, 'customer'::text])))",
            ),
        ),
        indexes=(
            tables.Index("person_adviser_number_idx", definition="USING btree (adviser_number)"),
            tables.Index("person_manager_number_idx", definition="USING btree (manager_number)"),
        ),
    ),
    rules=(
        rules.Column("customer_id", "customer_number"),
        rules.Column("first_name", "first_name"),
        rules.Column("last_name", "last_name"),
        rules.Column("company", "company"),
        rules.Column("address", "street"),
        rules.Column("city", "city"),
        rules.Column("state", "state"),
        rules.Column("country", "country"),
        rules.Column("postal_code", "postal_code"),
        rules.Column("phone", "phone"),
        rules.Column("fax", "fax"),
        rules.Column("email", "email"),
        rules.Column("support_rep_id", "adviser_number"),
    ),
    parts=(
        shapes.Half(
            table=tables.Table(
                "public",
                "person_address",
                columns=(
                    tables.Column("person_id", "uuid", nullable=False),
                    tables.Column("street", "character varying(70)"),
                    tables.Column("city", "character varying(40)"),
                    tables.Column("state", "character varying(40)"),
                    tables.Column("country", "character varying(40)"),
                    tables.Column("postal_code", "character varying(10)"),
                ),
                constraints=(
                    tables.Constraint(
                        "person_address_pkey",
                        "primary_key",
                        columns=("person_id",),
                        definition="PRIMARY KEY (person_id)",
                    ),
                    tables.Constraint(
                        "person_address_person_id_fkey",
                        "foreign_key",
                        columns=("person_id",),
                        definition="FOREIGN KEY (person_id) REFERENCES public.person(id)",
                    ),
                ),
            ),
            on=(("person_id", "id"),),
            holds=("address", "city", "state", "country", "postal_code"),
            optional=True,
        ),
    ),
    tag=shapes.Tag(column="kind", value="customer"),
)
