"""How the monolith's public.inventory_reservations corresponds to the microservice's.

Only active reservations are moved; one of a product without a listing stays where it is.
"""

from compat import rules, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "inventory_reservations",
    tables.Table(
        "public",
        "inventory_reservations",
        columns=(
            tables.Column(
                "id",
                "bigint",
                nullable=False,
                default="nextval('public.inventory_reservations_id_seq'::regclass)",
            ),
            tables.Column("product_id", "bigint", nullable=False),
            tables.Column(
                "order_id",
                "bigint",
                nullable=False,
                default="0",
                comment="0: not ordered yet",
            ),
            tables.Column("quantity", "integer", nullable=False),
            tables.Column(
                "status",
                "public.reservation_status",
                nullable=False,
                default="'active'::public.reservation_status",
            ),
            tables.Column("expires_at", "timestamp with time zone", nullable=False),
            tables.Column(
                "created_at",
                "timestamp with time zone",
                nullable=False,
                default="now()",
            ),
            tables.Column(
                "updated_at",
                "timestamp with time zone",
                nullable=False,
                default="now()",
            ),
        ),
        constraints=(
            tables.Constraint(
                "inventory_reservations_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "inventory_reservations_quantity_check",
                "check",
                columns=("quantity",),
                definition="CHECK ((quantity > 0))",
            ),
            tables.Constraint(
                "inventory_reservations_product_id_fkey",
                "foreign_key",
                columns=("product_id",),
                definition="FOREIGN KEY (product_id) REFERENCES public.products(id)",
            ),
        ),
        indexes=(
            tables.Index(
                "inventory_reservations_product_id_idx",
                definition="USING btree (product_id)",
            ),
        ),
        sequences=(tables.Sequence("public", "inventory_reservations_id_seq", column="id"),),
        triggers=("trigger_update_inventory_reservations_updated_at",),
    ),
    tables.Table(
        "public",
        "inventory_reservations",
        columns=(
            tables.Column(
                "id",
                "bigint",
                nullable=False,
                default="nextval('public.inventory_reservations_id_seq'::regclass)",
            ),
            tables.Column("listing_id", "bigint", nullable=False),
            tables.Column(
                "order_id",
                "bigint",
                comment=("NULL: not ordered yet. Orders of the monolith are not in this database."),
            ),
            tables.Column("quantity", "integer", nullable=False),
            tables.Column(
                "status",
                "character varying(20)",
                nullable=False,
                default="'active'::character varying",
            ),
            tables.Column("expires_at", "timestamp with time zone", nullable=False),
            tables.Column(
                "created_at",
                "timestamp with time zone",
                nullable=False,
                default="now()",
            ),
            tables.Column(
                "updated_at",
                "timestamp with time zone",
                nullable=False,
                default="now()",
            ),
        ),
        constraints=(
            tables.Constraint(
                "inventory_reservations_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "inventory_reservations_quantity_check",
                "check",
                columns=("quantity",),
                definition="CHECK ((quantity > 0))",
            ),
            tables.Constraint(
                "inventory_reservations_status_check",
                "check",
                columns=("status",),
                definition=(
                    "CHECK (((status)::text = ANY ((ARRAY['active'::character varying, "
                    "'committed'::character varying, 'released'::character varying, "
                    "'expired'::character varying])::text[])))"
                ),
            ),
            tables.Constraint(
                "inventory_reservations_listing_id_fkey",
                "foreign_key",
                columns=("listing_id",),
                definition="FOREIGN KEY (listing_id) REFERENCES public.listings(id)",
            ),
        ),
        indexes=(
            tables.Index(
                "inventory_reservations_expires_at_idx",
                definition="USING btree (expires_at) WHERE ((status)::text = 'active'::text)",
            ),
            tables.Index(
                "inventory_reservations_listing_id_idx",
                definition="USING btree (listing_id)",
            ),
        ),
        sequences=(tables.Sequence("public", "inventory_reservations_id_seq", column="id"),),
        triggers=("inventory_reservations_touch",),
    ),
    rules=(
        rules.Column("id", "id"),
        rules.Column("product_id", "listing_id"),
        rules.Expression(
            "order_id",
            read_sql="COALESCE(order_id, 0)",
            uses=("order_id",),
            writes=(("order_id", "NULLIF(order_id, 0)"),),
            lossless=True,
        ),
        rules.Column("quantity", "quantity"),
        rules.ValueMap(
            "status",
            "status",
            (
                ("active", "active"),
                ("committed", "committed"),
                ("released", "released"),
                ("expired", "expired"),
            ),
        ),
        rules.Column("expires_at", "expires_at"),
        rules.Column("created_at", "created_at"),
        rules.Column("updated_at", "updated_at"),
    ),
    where="status = 'active' AND expires_at > now()",
    orphans="skip",
)
