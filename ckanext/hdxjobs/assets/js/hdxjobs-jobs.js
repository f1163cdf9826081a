/**
 * Keeps the page about map previews fresh: asks for it again and puts the answer's part in place.
 * Rests while the page is hidden, and while somebody has the focus on a control inside.
 */
this.ckan.module('hdxjobs-jobs', function () {
  'use strict';

  var EVERY_MS = 4000;
  var PART = '[data-hdxjobs-jobs]';

  return {
    initialize: function () {
      this._offline = document.querySelector('[data-hdxjobs-jobs-offline]');
      this._timer = setInterval(this._ask.bind(this), EVERY_MS);
    },

    teardown: function () {
      clearInterval(this._timer);
    },

    _rests: function () {
      return document.hidden || this._asking || this.el[0].contains(document.activeElement);
    },

    _ask: function () {
      if (this._rests()) return;
      var self = this;
      this._asking = true;
      fetch(window.location.href, {headers: {'X-Requested-With': 'fetch'}, cache: 'no-store'})
        .then(function (response) {
          if (!response.ok) throw new Error('HTTP ' + response.status);
          return response.text();
        })
        .then(function (html) {
          var fresh = new DOMParser().parseFromString(html, 'text/html').querySelector(PART);
          if (!fresh) throw new Error('another page');
          self._asking = false;
          self._offline.hidden = true;
          if (!self._rests()) self.el[0].innerHTML = fresh.innerHTML;
        })
        .catch(function (error) {
          console.warn(error);
          self._asking = false;
          self._offline.hidden = false;
        });
    }
  };
});
