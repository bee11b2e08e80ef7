"""What FFmpeg may open, whether as a library or as a program."""

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,mpegvideo,m4v,h264,hevc,obu,"
    "ivf,flv,live_flv,asf,asf_o,rm,ogg,mxf,nut,nuv,nsv,dv,wtv,vob,mp3,flac,wav,w64,aiff,au,caf,"
    "voc,aac,ac3,eac3,dts,dtshd,truehd,mlp,amr,ape,wv,tta,tak,mpc,mpc8,dsf,iff,oma,shn,latm,loas"
)
"""Containers that hold what they play. Playlists and manifests (hls, dash, concat, rtsp, sdp, imf)
name other files or addresses, and are left out: opening one could reach anything from here."""
