-- The tiles role may run two functions and read nothing else; run by db.init as the schema's owner.
GRANT USAGE ON SCHEMA hdxjobs TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.tile_v1(text, bigint, integer, integer, integer) TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.layer_v1(text) TO {tiles};
