"""How public.order_line_items corresponds to public.order_line_items_v2.

Part of the revisions that use it: once they have run somewhere, it must not be edited.
"""

from compat import rules, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "order_line_items",
    tables.Table(
        "public",
        "order_line_items",
        columns=(
            tables.Column(
                "id",
                "integer",
                nullable=False,
                default="nextval('public.order_line_items_id_seq'::regclass)",
            ),
            tables.Column("order_id", "integer", nullable=False),
            tables.Column("product_id", "integer", nullable=False),
            tables.Column("line_no", "integer", nullable=False),
            tables.Column("qty", "integer", nullable=False, default="1"),
            tables.Column("price", "text", nullable=False, default="'0.00'::text"),
            tables.Column(
                "status",
                "integer",
                nullable=False,
                default="1",
                comment="1 pending, 2 reserved, 3 shipped, 4 cancelled",
            ),
            tables.Column(
                "created",
                "integer",
                nullable=False,
                default="(EXTRACT(epoch FROM now()))::integer",
                comment="Unix time in seconds",
            ),
            tables.Column("deleted", "boolean", nullable=False, default="false"),
            tables.Column("note", "character varying(200)"),
        ),
        constraints=(
            tables.Constraint(
                "order_line_items_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "order_line_items_order_line_key",
                "unique",
                columns=("order_id", "line_no"),
                definition="UNIQUE (order_id, line_no)",
            ),
            tables.Constraint(
                "order_line_items_qty_check",
                "check",
                columns=("qty",),
                definition="CHECK ((qty > 0))",
            ),
            tables.Constraint(
                "order_line_items_order_id_fkey",
                "foreign_key",
                columns=("order_id",),
                definition=(
                    "FOREIGN KEY (order_id) REFERENCES public.orders(id) ON DELETE CASCADE"
                ),
            ),
            tables.Constraint(
                "order_line_items_product_id_fkey",
                "foreign_key",
                columns=("product_id",),
                definition="FOREIGN KEY (product_id) REFERENCES public.products(id)",
            ),
        ),
        indexes=(
            tables.Index("order_line_items_created_idx", definition="USING btree (created)"),
            tables.Index(
                "order_line_items_product_id_idx",
                definition="USING btree (product_id)",
            ),
        ),
        sequences=(tables.Sequence("public", "order_line_items_id_seq", column="id"),),
        comment="What was ordered: one row per line of an order",
    ),
    tables.Table(
        "public",
        "order_line_items_v2",
        columns=(
            tables.Column("line_item_id", "integer", nullable=False),
            tables.Column("order_id", "integer", nullable=False),
            tables.Column("product_id", "integer", nullable=False),
            tables.Column("position", "integer", nullable=False),
            tables.Column("quantity", "integer", nullable=False),
            tables.Column("unit_price", "numeric(12,2)", nullable=False),
            tables.Column(
                "unit_price_text",
                "text",
                comment=("The price as the legacy side wrote it, where that is not how it prints"),
            ),
            tables.Column("status", "text", nullable=False),
            tables.Column(
                "created_at",
                "timestamp with time zone",
                nullable=False,
                default="now()",
            ),
            tables.Column("deleted_at", "timestamp with time zone"),
            tables.Column("note", "character varying(200)"),
            tables.Column("currency", "character(3)", nullable=False, default="'EUR'::bpchar"),
        ),
        constraints=(
            tables.Constraint(
                "order_line_items_v2_pkey",
                "primary_key",
                columns=("line_item_id",),
                definition="PRIMARY KEY (line_item_id)",
            ),
            tables.Constraint(
                "order_line_items_v2_position_key",
                "unique",
                columns=("order_id", "position"),
                definition='UNIQUE (order_id, "position")',
            ),
            tables.Constraint(
                "order_line_items_v2_quantity_check",
                "check",
                columns=("quantity",),
                definition="CHECK ((quantity > 0))",
            ),
            tables.Constraint(
                "order_line_items_v2_status_check",
                "check",
                columns=("status",),
                definition=(
                    "CHECK ((status = ANY (ARRAY['pending'::text, 'reserved'::text, "
                    "'shipped'::text, 'cancelled'::text])))"
                ),
            ),
            tables.Constraint(
                "order_line_items_v2_order_id_fkey",
                "foreign_key",
                columns=("order_id",),
                definition=(
                    "FOREIGN KEY (order_id) REFERENCES public.orders(id) ON DELETE CASCADE"
                ),
            ),
            tables.Constraint(
                "order_line_items_v2_product_id_fkey",
                "foreign_key",
                columns=("product_id",),
                definition="FOREIGN KEY (product_id) REFERENCES public.products(id)",
            ),
        ),
        indexes=(
            tables.Index(
                "order_line_items_v2_created_idx",
                definition=(
                    "USING btree (((floor(EXTRACT(epoch FROM (created_at AT TIME ZONE"
                    " 'UTC'::text))))::integer))"
                ),
            ),
            tables.Index(
                "order_line_items_v2_product_id_idx",
                definition="USING btree (product_id)",
            ),
        ),
        comment="What was ordered: one row per line of an order",
    ),
    rules=(
        rules.Column("id", "line_item_id"),
        rules.Column("order_id", "order_id"),
        rules.Column("product_id", "product_id"),
        rules.Column("line_no", "position"),
        rules.Column("qty", "quantity"),
        rules.Cast("price", "unit_price", keep="unit_price_text"),
        rules.ValueMap(
            "status",
            "status",
            ((1, "pending"), (2, "reserved"), (3, "shipped"), (4, "cancelled")),
        ),
        rules.Epoch("created", "created_at"),
        rules.Flag("deleted", "deleted_at"),
        rules.Column("note", "note"),
    ),
)
