/**
 * Keeps the page about map previews fresh: asks for it again and changes what has changed, so that the
 * focus, a selection and the place of a screen reader stay where they are.
 * Rests while the page is hidden or its reader wants it to stand still.
 */
this.ckan.module('hdxjobs-jobs', function () {
  'use strict';

  var EVERY_MS = 4000;
  /** A site that says nothing for so long does not answer. */
  var PATIENCE_MS = 15000;
  var PART = '[data-hdxjobs-jobs]';

  /** The child of `old`, from `at` on, that stands for the same thing as `wanted`. */
  function counterpart(at, wanted) {
    if (!wanted.id) return at && !at.id && at.nodeName === wanted.nodeName ? at : null;
    while (at && at.id !== wanted.id) at = at.nextSibling;
    return at;
  }

  function takeAttributes(old, fresh) {
    Array.from(old.attributes).forEach(function (attribute) {
      if (!fresh.hasAttribute(attribute.name)) old.removeAttribute(attribute.name);
    });
    Array.from(fresh.attributes).forEach(function (attribute) {
      if (old.getAttribute(attribute.name) !== attribute.value) old.setAttribute(attribute.name, attribute.value);
    });
  }

  function become(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    takeAttributes(old, fresh);
    var at = old.firstChild;
    Array.from(fresh.childNodes).forEach(function (wanted) {
      var same = counterpart(at, wanted);
      if (!same) {
        old.insertBefore(document.importNode(wanted, true), at);
        return;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      become(same, wanted);
    });
    while (at) {
      var next = at.nextSibling;
      old.removeChild(at);
      at = next;
    }
  }

  return {
    initialize: function () {
      this._root = this.el[0].querySelector(PART);
      this._notice = this.el[0].querySelector('[data-hdxjobs-jobs-notice]');
      this._spoken = this.el[0].querySelector('[data-hdxjobs-jobs-spoken]');
      this._live = this.el[0].querySelector('[data-hdxjobs-jobs-live]');
      this._live.closest('label').hidden = false;
      this._live.addEventListener('change', this._ask.bind(this));
      this._onVisible = this._ask.bind(this);
      document.addEventListener('visibilitychange', this._onVisible);
      this._said = this._summary();
      this._timer = setInterval(this._ask.bind(this), EVERY_MS);
    },

    teardown: function () {
      clearInterval(this._timer);
      document.removeEventListener('visibilitychange', this._onVisible);
    },

    _rests: function () {
      return document.hidden || this._asking || !this._live.checked;
    },

    _ask: function () {
      if (this._rests()) return;
      var self = this;
      var hurry = new AbortController();
      var patience = setTimeout(function () { hurry.abort(); }, PATIENCE_MS);
      this._asking = true;
      fetch(window.location.href, {headers: {'X-Requested-With': 'fetch'}, cache: 'no-store', signal: hurry.signal})
        .then(function (response) {
          if (response.redirected || response.status === 401 || response.status === 403) return null;
          if (!response.ok) throw new Error('HTTP ' + response.status);
          return response.text();
        })
        .then(function (html) {
          var fresh = html && new DOMParser().parseFromString(html, 'text/html').querySelector(PART);
          self._tell(fresh ? '' : self._notice.dataset.refused);
          if (fresh && self._live.checked) self._show(fresh);
        })
        .catch(function (error) {
          console.warn(error);
          self._tell(self._notice.dataset.offline);
        })
        .finally(function () {
          clearTimeout(patience);
          self._asking = false;
        });
    },

    /** Say above all else that what is shown may be old; "" when it is not. */
    _tell: function (text) {
      if (this._notice.textContent === text) return;
      this._notice.textContent = text;
      this._notice.classList.toggle('alert', text !== '');
    },

    _show: function (fresh) {
      var focused = document.activeElement;
      var section = this._root.contains(focused) ? focused.closest('section') : null;
      become(this._root, fresh);
      if (section && document.activeElement !== focused) {
        // It was moved, or it is no more: then its part of the page keeps the reader's place.
        var place = focused.isConnected ? focused : section.querySelector('h2');
        place.focus({preventScroll: true});
      }
      this._speak();
    },

    _summary: function () {
      var summary = this._root.querySelector('[data-hdxjobs-jobs-summary]');
      return summary ? summary.dataset.hdxjobsJobsSummary : '';
    },

    /** Figures change all the time; only what is out of order is worth being read out. */
    _speak: function () {
      if (this._summary() === this._said) return;
      this._said = this._summary();
      this._spoken.textContent = this._said;
    }
  };
});
