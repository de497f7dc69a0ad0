-- Version 2 of the sample database: people in one table, their addresses in another, UUIDs as keys.

CREATE TABLE person (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('employee', 'customer')),
    employee_number integer UNIQUE,
    customer_number integer UNIQUE,
    first_name varchar(40) NOT NULL,
    last_name varchar(20) NOT NULL,
    email varchar(60),
    phone varchar(24),
    fax varchar(24),
    company varchar(80),
    job_title varchar(30),
    born_at timestamp,
    hired_at timestamptz,
    manager_id uuid REFERENCES person,
    manager_number integer,
    adviser_number integer,
    CHECK ((kind = 'employee') = (employee_number IS NOT NULL)),
    CHECK ((kind = 'customer') = (customer_number IS NOT NULL)),
    CHECK (kind <> 'customer' OR email IS NOT NULL)
);
CREATE INDEX ON person (manager_id);
CREATE INDEX ON person (manager_number);
CREATE INDEX ON person (adviser_number);

CREATE TABLE person_address (
    person_id uuid PRIMARY KEY REFERENCES person,
    street varchar(70),
    city varchar(40),
    state varchar(40),
    country varchar(40),
    postal_code varchar(10)
);

CREATE TABLE sale (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number integer NOT NULL UNIQUE,
    customer_id uuid NOT NULL REFERENCES person,
    customer_number integer NOT NULL,
    sold_at timestamptz NOT NULL,
    street varchar(70),
    city varchar(40),
    state varchar(40),
    country varchar(40),
    postal_code varchar(10),
    total numeric(10,2) NOT NULL
);
CREATE INDEX ON sale (customer_id);
CREATE INDEX ON sale (customer_number);

CREATE TABLE sale_line (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number integer NOT NULL UNIQUE,
    sale_id uuid NOT NULL REFERENCES sale,
    sale_number integer NOT NULL,
    track_id integer NOT NULL REFERENCES track,
    unit_price_cents integer NOT NULL,
    quantity integer NOT NULL
);
CREATE INDEX ON sale_line (sale_id);
CREATE INDEX ON sale_line (sale_number);
CREATE INDEX ON sale_line (track_id);
