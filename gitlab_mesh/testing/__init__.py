"""Fakes for every port, public: for plug-in authors and for our own tests."""
