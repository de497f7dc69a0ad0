-- A music shop with the tables and names of the public Chinook database, and made-up rows.

CREATE TABLE artist (
    artist_id serial CONSTRAINT artist_pkey PRIMARY KEY,
    name varchar(120)
);
CREATE TABLE album (
    album_id serial CONSTRAINT album_pkey PRIMARY KEY,
    title varchar(160) NOT NULL,
    artist_id int NOT NULL
);
CREATE TABLE genre (
    genre_id serial CONSTRAINT genre_pkey PRIMARY KEY,
    name varchar(120)
);
CREATE TABLE media_type (
    media_type_id serial CONSTRAINT media_type_pkey PRIMARY KEY,
    name varchar(120)
);
CREATE TABLE track (
    track_id serial CONSTRAINT track_pkey PRIMARY KEY,
    name varchar(200) NOT NULL,
    album_id int,
    media_type_id int NOT NULL,
    genre_id int,
    composer varchar(220),
    milliseconds int NOT NULL,
    bytes int,
    unit_price numeric(10,2) NOT NULL
);
CREATE TABLE employee (
    employee_id serial CONSTRAINT employee_pkey PRIMARY KEY,
    last_name varchar(20) NOT NULL,
    first_name varchar(20) NOT NULL,
    title varchar(30),
    reports_to int,
    birth_date timestamp,
    hire_date timestamp,
    address varchar(70),
    city varchar(40),
    state varchar(40),
    country varchar(40),
    postal_code varchar(10),
    phone varchar(24),
    fax varchar(24),
    email varchar(60)
);
CREATE TABLE customer (
    customer_id serial CONSTRAINT customer_pkey PRIMARY KEY,
    first_name varchar(40) NOT NULL,
    last_name varchar(20) NOT NULL,
    company varchar(80),
    address varchar(70),
    city varchar(40),
    state varchar(40),
    country varchar(40),
    postal_code varchar(10),
    phone varchar(24),
    fax varchar(24),
    email varchar(60) NOT NULL,
    support_rep_id int
);
CREATE TABLE invoice (
    invoice_id serial CONSTRAINT invoice_pkey PRIMARY KEY,
    customer_id int NOT NULL,
    invoice_date timestamp NOT NULL,
    billing_address varchar(70),
    billing_city varchar(40),
    billing_state varchar(40),
    billing_country varchar(40),
    billing_postal_code varchar(10),
    total numeric(10,2) NOT NULL
);
CREATE TABLE invoice_line (
    invoice_line_id serial CONSTRAINT invoice_line_pkey PRIMARY KEY,
    invoice_id int NOT NULL,
    track_id int NOT NULL,
    unit_price numeric(10,2) NOT NULL,
    quantity int NOT NULL
);

INSERT INTO artist (name) SELECT 'Band ' || n FROM generate_series(1, 6) AS n;
INSERT INTO album (title, artist_id) SELECT 'Album ' || n, 1 + n % 6 FROM generate_series(1, 12) AS n;
INSERT INTO genre (name) VALUES ('Rock'), ('Jazz'), ('Metal'), ('Latin');
INSERT INTO media_type (name) VALUES ('MPEG audio file'), ('Purchased AAC audio file');
INSERT INTO track (name, album_id, media_type_id, genre_id, composer, milliseconds, bytes, unit_price)
    SELECT 'Song ' || n, 1 + n % 12, 1 + n % 2, 1 + n % 4, CASE WHEN n % 3 > 0 THEN 'Composer ' || n % 5 END,
        180000 + n * 1000, n * 4000, CASE WHEN n % 10 = 0 THEN 1.99 ELSE 0.99 END
    FROM generate_series(1, 60) AS n;
INSERT INTO employee (last_name, first_name, title, reports_to, birth_date, hire_date, address, city, country, email)
    SELECT 'Clerk', 'No ' || n, CASE n WHEN 1 THEN 'General Manager' WHEN 2 THEN 'Sales Manager' ELSE 'Sales Support Agent' END,
        CASE WHEN n = 1 THEN NULL WHEN n = 2 THEN 1 ELSE 2 END,
        timestamp '1970-05-01' + n * interval '400 days', timestamp '2002-08-14' + n * interval '30 days',
        n || ' Main Street', 'Calgary', 'Canada', 'clerk' || n || '@example.org'
    FROM generate_series(1, 8) AS n;
INSERT INTO customer (first_name, last_name, company, address, city, state, country, postal_code, phone, email, support_rep_id)
    SELECT 'Ann', 'No ' || n, CASE WHEN n % 7 = 0 THEN 'Company ' || n END,
        CASE WHEN n % 5 > 0 THEN n || ' High Street' END, CASE WHEN n % 5 > 0 THEN 'Zürich' END,
        CASE WHEN n % 10 = 3 THEN 'ZH' END,
        CASE WHEN n % 5 > 0 THEN (ARRAY['Switzerland', 'Brazil', 'Canada', 'USA'])[1 + n % 4] END,
        CASE WHEN n % 5 > 0 THEN 8000 + n END, '+41 44 ' || n, 'ann' || n || '@example.org', 3 + n % 3
    FROM generate_series(1, 30) AS n;
INSERT INTO invoice (customer_id, invoice_date, billing_address, billing_city, billing_country, total)
    SELECT 1 + n % 29, timestamp '2021-01-01' + n * interval '5 days 3 hours',
        n || ' High Street', CASE WHEN n % 3 > 0 THEN 'Zürich' END, (ARRAY['Switzerland', 'Brazil', 'Canada', 'USA'])[1 + n % 4],
        0.99 * (1 + n % 4)
    FROM generate_series(1, 120) AS n;
INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
    SELECT i.invoice_id, 1 + (i.invoice_id * 7 + n) % 59, 0.99, 1
    FROM invoice AS i, generate_series(0, 3) AS n WHERE n <= i.invoice_id % 4;

ALTER TABLE album ADD CONSTRAINT album_artist_id_fkey FOREIGN KEY (artist_id) REFERENCES artist;
ALTER TABLE track ADD CONSTRAINT track_album_id_fkey FOREIGN KEY (album_id) REFERENCES album;
ALTER TABLE track ADD CONSTRAINT track_genre_id_fkey FOREIGN KEY (genre_id) REFERENCES genre;
ALTER TABLE track ADD CONSTRAINT track_media_type_id_fkey FOREIGN KEY (media_type_id) REFERENCES media_type;
ALTER TABLE employee ADD CONSTRAINT employee_reports_to_fkey FOREIGN KEY (reports_to) REFERENCES employee;
ALTER TABLE customer ADD CONSTRAINT customer_support_rep_id_fkey FOREIGN KEY (support_rep_id) REFERENCES employee;
ALTER TABLE invoice ADD CONSTRAINT invoice_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customer;
ALTER TABLE invoice_line ADD CONSTRAINT invoice_line_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoice;
ALTER TABLE invoice_line ADD CONSTRAINT invoice_line_track_id_fkey FOREIGN KEY (track_id) REFERENCES track;
CREATE INDEX employee_reports_to_idx ON employee (reports_to);
CREATE INDEX customer_support_rep_id_idx ON customer (support_rep_id);
CREATE INDEX invoice_customer_id_idx ON invoice (customer_id);
CREATE INDEX invoice_line_invoice_id_idx ON invoice_line (invoice_id);
CREATE INDEX invoice_line_track_id_idx ON invoice_line (track_id);
