"""How public.invoice corresponds to public.sale."""

from compat import rules, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "invoice",
    tables.Table(
        "public",
        "invoice",
        columns=(
            tables.Column(
                "invoice_id",
                "integer",
                nullable=False,
                default="nextval('public.invoice_invoice_id_seq'::regclass)",
            ),
            tables.Column("customer_id", "integer", nullable=False),
            tables.Column("invoice_date", "timestamp without time zone", nullable=False),
            tables.Column("billing_address", "character varying(70)"),
            tables.Column("billing_city", "character varying(40)"),
            tables.Column("billing_state", "character varying(40)"),
            tables.Column("billing_country", "character varying(40)"),
            tables.Column("billing_postal_code", "character varying(10)"),
            tables.Column("total", "numeric(10,2)", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "invoice_pkey",
                "primary_key",
                columns=("invoice_id",),
                definition="PRIMARY KEY (invoice_id)",
            ),
            tables.Constraint(
                "invoice_customer_id_fkey",
                "foreign_key",
                columns=("customer_id",),
                definition="FOREIGN KEY (customer_id) REFERENCES public.customer(customer_id)",
            ),
        ),
        indexes=(tables.Index("invoice_customer_id_idx", definition="USING btree (customer_id)"),),
        sequences=(tables.Sequence("public", "invoice_invoice_id_seq", column="invoice_id"),),
    ),
    tables.Table(
        "public",
        "sale",
        columns=(
            tables.Column("id", "uuid", nullable=False, default="gen_random_uuid()"),
            tables.Column("number", "integer", nullable=False),
            tables.Column("customer_id", "uuid", nullable=False),
            tables.Column("customer_number", "integer", nullable=False),
            tables.Column("sold_at", "timestamp with time zone", nullable=False),
            tables.Column("street", "character varying(70)"),
            tables.Column("city", "character varying(40)"),
            tables.Column("state", "character varying(40)"),
            tables.Column("country", "character varying(40)"),
            tables.Column("postal_code", "character varying(10)"),
            tables.Column("total", "numeric(10,2)", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "sale_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "sale_number_key",
                "unique",
                columns=("number",),
                definition="UNIQUE (number)",
            ),
            tables.Constraint(
                "sale_customer_id_fkey",
                "foreign_key",
                columns=("customer_id",),
                definition="FOREIGN KEY (customer_id) REFERENCES public.person(id)",
            ),
        ),
        indexes=(
            tables.Index("sale_customer_id_idx", definition="USING btree (customer_id)"),
            tables.Index("sale_customer_number_idx", definition="USING btree (customer_number)"),
        ),
    ),
    rules=(
        rules.Column("invoice_id", "number"),
        rules.Lookup(
            "customer_id",
            "customer_id",
            parent=rules.Referenced("public", "person", legacy="customer_number"),
            keep="customer_number",
        ),
        rules.Cast("invoice_date", "sold_at", timezone="UTC"),
        rules.Column("billing_address", "street"),
        rules.Column("billing_city", "city"),
        rules.Column("billing_state", "state"),
        rules.Column("billing_country", "country"),
        rules.Column("billing_postal_code", "postal_code"),
        rules.Column("total", "total"),
    ),
)
