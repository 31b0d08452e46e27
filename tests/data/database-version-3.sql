BEGIN TRANSACTION;
CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY,
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            row_id INTEGER NOT NULL,
            reason TEXT NOT NULL,
            time_ms INTEGER NOT NULL
        , retry INTEGER NOT NULL DEFAULT 0);
CREATE TABLE readings (
            id INTEGER PRIMARY KEY,
            series_id INTEGER NOT NULL REFERENCES series (id),
            time_ms INTEGER NOT NULL,
            value NOT NULL,
            data_id TEXT NOT NULL
        );
INSERT INTO "readings" VALUES(1,1,1795402801123,0,'x');
INSERT INTO "readings" VALUES(2,1,1795402802123,10000,'x');
INSERT INTO "readings" VALUES(3,1,1795402803123,20000,'x');
INSERT INTO "readings" VALUES(4,1,1795402804123,30000,'x');
INSERT INTO "readings" VALUES(5,1,1795402805123,40000,'x');
INSERT INTO "readings" VALUES(6,1,1790218806123,50000,'x');
INSERT INTO "readings" VALUES(7,1,1790218807123,60000,'x');
CREATE TABLE reopened (
            from_ms INTEGER NOT NULL,
            to_ms INTEGER NOT NULL,
            PRIMARY KEY (from_ms, to_ms)
        ) WITHOUT ROWID
        ;
CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            unit TEXT NOT NULL,
            sensor TEXT NOT NULL,
            places INTEGER NOT NULL, last_id INTEGER,
            UNIQUE (unit, sensor, places)
        );
INSERT INTO "series" VALUES(1,'BR','E7',0,7);
CREATE TABLE spans (
            span INTEGER NOT NULL,
            first_id INTEGER NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (span, first_id)
        ) WITHOUT ROWID
        ;
INSERT INTO "spans" VALUES(2983698,6,7);
INSERT INTO "spans" VALUES(2992338,1,1);
INSERT INTO "spans" VALUES(2992338,2,5);
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "state" VALUES('summary_lines_until','0');
INSERT INTO "state" VALUES('text','{"until":5,"marks":{"2026-11-23":150},"files":{"2026-11-23":3424329037}}');
CREATE TABLE summaries (
            id INTEGER PRIMARY KEY,
            series_id INTEGER NOT NULL REFERENCES series (id),
            start_ms INTEGER NOT NULL,
            average NOT NULL,
            minimum NOT NULL,
            maximum NOT NULL,
            count INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'complete');
CREATE TABLE unsure (
            first_id INTEGER PRIMARY KEY,
            last_id INTEGER NOT NULL,
            offset_ms INTEGER NOT NULL,
            boot TEXT NOT NULL
        );
INSERT INTO "unsure" VALUES(6,7,1790217800000,'this boot');
CREATE TABLE upload_cursors (
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            last_id INTEGER NOT NULL, in_flight INTEGER, dropped INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (target, kind)
        ) WITHOUT ROWID
        ;
INSERT INTO "upload_cursors" VALUES('server','readings',7,NULL,0);
CREATE UNIQUE INDEX summaries_start_series ON summaries (start_ms, series_id);
COMMIT;
PRAGMA user_version = 3;
