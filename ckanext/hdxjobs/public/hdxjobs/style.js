/** How things look: the ground and the features, in light and in dark. Pure: no DOM, no requests. */

// Okabe and Ito's colours, which people with any colour vision can tell apart, darkened
// or lightened until they stand out from the ground.
const PALETTES = {
  light: {
    water: '#cfdde6',
    land: '#f5f3ee',
    border: '#a8a294',
    halo: '#ffffff',
    selected: '#111111',
    data: ['#0063ab', '#c24400', '#007a5a', '#94408f', '#7d5c00', '#4d4d4d'],
  },
  dark: {
    water: '#151c22',
    land: '#2a3138',
    border: '#56616c',
    halo: '#10151a',
    selected: '#ffffff',
    data: ['#5cb8ec', '#f39a5c', '#43cba4', '#dda6d6', '#efe15a', '#c9c9c9'],
  },
};

/** "dark" when the page says so (Bootstrap's data-bs-theme) or else when the visitor's system does. */
export function colourScheme() {
  const theme = document.documentElement.dataset.bsTheme;
  if (theme === 'dark' || theme === 'light') return theme;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

export function colour(scheme, index) {
  const { data } = PALETTES[scheme];
  return data[index % data.length];
}

function ground(scheme, basemap) {
  const palette = PALETTES[scheme];
  // Without a basemap there is no land and no water, only paper.
  return { 'background-color': basemap === 'land' ? palette.water : palette.land };
}

/** The style to start with; for a basemap of the site's own its URL, which MapLibre loads. */
export function baseStyle(basemap, scheme) {
  if (basemap.kind === 'style') return basemap.url;
  const style = {
    version: 8,
    sources: {},
    layers: [{ id: 'hdxjobs-ground', type: 'background', paint: ground(scheme, basemap.kind) }],
  };
  if (basemap.kind === 'raster') {
    style.sources['hdxjobs-raster'] = { type: 'raster', tiles: [basemap.url], tileSize: 256, maxzoom: 19 };
    style.layers.push({ id: 'hdxjobs-raster', type: 'raster', source: 'hdxjobs-raster' });
  }
  return style;
}

/** Layers of a piece of land: its surface and the borders between countries. */
export function landLayers(source, scheme, zooms) {
  const palette = PALETTES[scheme];
  const kind = (name) => ['==', ['get', 'kind'], name];
  return [
    {
      id: `${source}-land`,
      type: 'fill',
      source,
      ...zooms,
      filter: kind('land'),
      paint: { 'fill-color': palette.land },
    },
    {
      id: `${source}-borders`,
      type: 'line',
      source,
      ...zooms,
      filter: kind('borders'),
      paint: { 'line-color': palette.border, 'line-width': ['interpolate', ['linear'], ['zoom'], 1, 0.4, 8, 1.2] },
    },
  ];
}

const selected = (yes, no) => ['case', ['boolean', ['feature-state', 'selected'], false], yes, no];

function byZoom(...stops) {
  return ['interpolate', ['linear'], ['zoom'], ...stops];
}

function dataPaints(scheme, index) {
  const palette = PALETTES[scheme];
  const fill = colour(scheme, index);
  return {
    fill: { 'fill-color': fill, 'fill-opacity': selected(0.6, 0.3) },
    outline: {
      'line-color': selected(palette.selected, fill),
      'line-width': byZoom(2, selected(2, 0.6), 10, selected(3.5, 1.4)),
    },
    line: {
      'line-color': selected(palette.selected, fill),
      'line-width': byZoom(2, selected(3, 1.2), 8, selected(4, 2), 14, selected(6, 4)),
    },
    point: {
      'circle-color': fill,
      'circle-radius': byZoom(1, selected(5, 2.5), 6, selected(7, 4), 14, selected(10, 7)),
      'circle-stroke-color': selected(palette.selected, palette.halo),
      'circle-stroke-width': byZoom(1, selected(2, 0.5), 8, selected(3, 1.2)),
    },
  };
}

const SHAPES = [
  { part: 'fill', type: 'fill', geometry: 'Polygon' },
  { part: 'outline', type: 'line', geometry: 'Polygon' },
  { part: 'line', type: 'line', geometry: 'LineString' },
  { part: 'point', type: 'circle', geometry: 'Point' },
];

/** The four layers that draw one data source, whatever geometries its tiles hold. */
export function dataLayers(source, index, scheme) {
  const paints = dataPaints(scheme, index);
  return SHAPES.map(({ part, type, geometry }) => ({
    id: `${source}-${part}`,
    type,
    source,
    'source-layer': 'layer',
    filter: ['==', ['geometry-type'], geometry],
    layout: type === 'line' ? { 'line-cap': 'round', 'line-join': 'round' } : {},
    paint: paints[part],
  }));
}

/** Layers in the order in which they are drawn: surfaces of every source first, points on top. */
export function stacked(layers) {
  const rank = (layer) => SHAPES.findIndex(({ part }) => layer.id.endsWith(`-${part}`));
  return [...layers].sort((one, other) => rank(one) - rank(other));
}

/** Repaint what is on the map in another colour scheme; `layers` are the style layers it should have. */
export function repaint(map, layers, scheme, basemap) {
  const wanted = [...layers];
  if (basemap.kind !== 'style') wanted.push({ id: 'hdxjobs-ground', paint: ground(scheme, basemap.kind) });
  for (const { id, paint } of wanted) {
    if (!map.getLayer(id)) continue;
    for (const [name, value] of Object.entries(paint)) map.setPaintProperty(id, name, value);
  }
}
