-- Conditions and choices of fields that visitors may give; run before tiles.sql, may be run again at any time.
-- A condition is CQL2 as JSON (OGC 21-065); it becomes SQL here and nowhere else: columns are looked up in the
-- registry and quoted as identifiers, values are quoted as literals, operators come from a list.

-- The registry's entry of a field, by its key or its name in the file.
CREATE OR REPLACE FUNCTION hdxjobs.field_v1(fields jsonb, asked text)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    found jsonb;
BEGIN
    SELECT item.field INTO found
    FROM jsonb_array_elements(fields) WITH ORDINALITY AS item (field, place)
    WHERE item.field ->> 'key' = asked OR item.field ->> 'name' = asked
    ORDER BY item.field ->> 'key' = asked DESC, item.place
    LIMIT 1;
    IF found IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('no such field: %s', left(asked, 100));
    END IF;
    RETURN found;
END;
$$;

COMMENT ON FUNCTION hdxjobs.field_v1(jsonb, text)
IS 'The entry of a field in hdxjobs.layer.fields by its key or name; raises invalid_parameter_value when there is none';

CREATE OR REPLACE FUNCTION hdxjobs.chosen_fields_v1(fields jsonb, chosen jsonb)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT CASE
    WHEN chosen IS NULL OR jsonb_typeof(chosen) <> 'array' THEN fields
    ELSE coalesce(
        (SELECT jsonb_agg(DISTINCT hdxjobs.field_v1(fields, name)) FROM jsonb_array_elements_text(chosen) AS name), '[]'
    )
END;
$$;

COMMENT ON FUNCTION hdxjobs.chosen_fields_v1(jsonb, jsonb)
IS 'The entries of the named fields; all of them where chosen is no array';

-- A property, quoted as an identifier, or a value, quoted as a literal that suits the column it meets.
CREATE OR REPLACE FUNCTION hdxjobs.operand_v1(fields jsonb, operand jsonb, kind text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    field jsonb;
    content text;
BEGIN
    IF jsonb_typeof(operand) = 'object' AND operand ? 'property' THEN
        field := hdxjobs.field_v1(fields, operand ->> 'property');
        IF field ->> 'type' <> kind AND NOT (field ->> 'type' IN ('integer', 'number') AND kind IN ('integer', 'number')) THEN
            RAISE invalid_parameter_value USING MESSAGE = format(
                'cannot compare %s (%s) with a %s', left(operand ->> 'property', 100), field ->> 'type', kind
            );
        END IF;
        RETURN format(CASE WHEN field ->> 'type' = 'json' THEN '%I::text' ELSE '%I' END, field ->> 'column');
    END IF;
    IF jsonb_typeof(operand) = 'object' THEN
        content := coalesce(operand ->> 'date', operand ->> 'timestamp');
    ELSIF jsonb_typeof(operand) IN ('string', 'number', 'boolean') THEN
        content := operand #>> '{}';
    END IF;
    IF content IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('no value: %s', left(operand::text, 100));
    END IF;
    RETURN format(CASE WHEN kind IN ('integer', 'number') THEN '%L::numeric' ELSE '%L' END, content);
END;
$$;

COMMENT ON FUNCTION hdxjobs.operand_v1(jsonb, jsonb, text)
IS 'SQL of a CQL2 property or value; kind: type of the field that a value is compared with';

CREATE OR REPLACE FUNCTION hdxjobs.comparison_v1(fields jsonb, op text, args jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    kind text;
    first text;
BEGIN
    kind := hdxjobs.field_v1(fields, coalesce(args #>> '{0,property}', '')) ->> 'type';
    first := hdxjobs.operand_v1(fields, args -> 0, kind);
    CASE op
        WHEN 'isNull' THEN
            RETURN format('%s IS NULL', first);
        WHEN 'between' THEN
            RETURN format(
                '%s BETWEEN %s AND %s', first, hdxjobs.operand_v1(fields, args -> 1, kind),
                hdxjobs.operand_v1(fields, args -> 2, kind)
            );
        WHEN 'in' THEN
            RETURN format('%s IN (%s)', first, (
                SELECT string_agg(hdxjobs.operand_v1(fields, item, kind), ', ')
                FROM jsonb_array_elements(args -> 1) AS item
            ));
        WHEN 'like' THEN
            RETURN format('%s::text LIKE %s', first, hdxjobs.operand_v1(fields, args -> 1, 'string'));
        ELSE
            RETURN format('%s %s %s', first, op, hdxjobs.operand_v1(fields, args -> 1, kind));
    END CASE;
END;
$$;

COMMENT ON FUNCTION hdxjobs.comparison_v1(jsonb, text, jsonb)
IS 'SQL of one CQL2 comparison, whose first argument is a property';

CREATE OR REPLACE FUNCTION hdxjobs.filter_v1(fields jsonb, filter jsonb, depth integer DEFAULT 0)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    op text := filter ->> 'op';
    args jsonb := filter -> 'args';
    parts text;
BEGIN
    IF filter IS NULL OR filter = 'null' THEN
        RETURN 'true';
    END IF;
    IF depth > 20 OR length(filter::text) > 10000 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'filter too long';
    END IF;
    IF jsonb_typeof(args) IS DISTINCT FROM 'array' OR jsonb_array_length(args) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'filter without arguments';
    END IF;
    IF op IN ('and', 'or') THEN
        SELECT string_agg('(' || hdxjobs.filter_v1(fields, item, depth + 1) || ')', ' ' || op || ' ') INTO parts
        FROM jsonb_array_elements(args) AS item;
        RETURN parts;
    END IF;
    IF op = 'not' THEN
        RETURN 'NOT (' || hdxjobs.filter_v1(fields, args -> 0, depth + 1) || ')';
    END IF;
    IF op IN ('=', '<>', '<', '<=', '>', '>=', 'between', 'in', 'like', 'isNull') THEN
        RETURN hdxjobs.comparison_v1(fields, op, args);
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = format('no such operator: %s', left(op, 100));
END;
$$;

COMMENT ON FUNCTION hdxjobs.filter_v1(jsonb, jsonb, integer)
IS 'SQL condition of a CQL2 JSON filter over catalogued fields: and, or, not, =, <>, <, <=, >, >=, between, in, like, isNull; raises invalid_parameter_value for anything else';
